"""Creates a stack in moto, once with each set of parameters, and prints its state: create_stack.py TEMPLATE PARAMETERS [OLDER]

TEMPLATE is CloudFormation as JSON, PARAMETERS a JSON list of {"name": "value"}. With OLDER, the stack is created from that template,
used, and updated; `kept` then contains its filters and the names and contents of its stores, before and after the update.
"""

import io
import json
import sys
import zipfile

import boto3
import patches  # noqa: F401 - patches moto when imported
from moto import mock_aws


def package():
    """Returns a zip that moto accepts as a function's code."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("bootstrap", "")
    return content.getvalue()


@mock_aws(config={"lambda": {"use_docker": False}})
def create(template, parameters, older):
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
    s3 = session.client("s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    prefix = parameters.get("ArtifactPrefix", "")
    for name in ["code.zip", *(f"{prefix}lambda-otlp-{program}-{architecture}.zip" for program in ("forwarder", "subscriber") for architecture in ("arm64", "x86_64"))]:
        s3.put_object(Bucket="artifacts", Key=name, Body=package())
    if "KinesisStreamArn" in parameters:
        session.client("kinesis").create_stream(StreamName="logs", ShardCount=1)
    cloudformation = session.client("cloudformation")
    if parameters.get("LogGroups", "").startswith("/"):
        session.client("logs").create_log_group(logGroupName=parameters["LogGroups"])
    arguments = {
        "StackName": "telemetry",
        "Capabilities": ["CAPABILITY_IAM"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    }
    cloudformation.create_stack(TemplateBody=older or template, **arguments)
    before = {}
    if older:
        fill(session)
        before = contents(session)
        cloudformation.update_stack(TemplateBody=template, **arguments)
    stack = cloudformation.describe_stacks(StackName="telemetry")["Stacks"][0]
    resources = cloudformation.list_stack_resources(StackName="telemetry")["StackResourceSummaries"]
    made = {resource.get("LogicalResourceId"): resource.get("PhysicalResourceId") for resource in resources}
    functions = session.client("lambda").list_functions()["Functions"]
    return {
        "status": stack["StackStatus"],
        "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        "resources": made,
        "variables": [function["Environment"]["Variables"] for function in functions],
        "layers": [layer["LayerName"] for layer in session.client("lambda").list_layers()["Layers"]],
        "mappings": len(session.client("lambda").list_event_source_mappings()["EventSourceMappings"]),
        "streams": session.client("kinesis").list_streams()["StreamNames"],
        "kept": [before, contents(session)] if older else [],
    }


def fill(session):
    """Puts a delayed message into each queue, an object into each bucket, and a filter like the subscriber's on a log group."""
    sqs, s3, logs = session.client("sqs"), session.client("s3"), session.client("logs")
    for url in sqs.list_queues()["QueueUrls"]:
        sqs.send_message(QueueUrl=url, MessageBody="queued", DelaySeconds=900)
    for bucket in s3.list_buckets()["Buckets"]:
        s3.put_object(Bucket=bucket["Name"], Key="event", Body=b"an event")
    forwarder = max(function["FunctionArn"] for function in session.client("lambda").list_functions()["Functions"] if "Forwarder" in function["FunctionName"])
    logs.create_log_group(logGroupName="/aws/lambda/stock")
    logs.put_subscription_filter(logGroupName="/aws/lambda/stock", filterName="lambda-otlp", filterPattern="", destinationArn=forwarder)


def contents(session):
    sqs, s3, logs = session.client("sqs"), session.client("s3"), session.client("logs")
    functions = [function["FunctionArn"] for function in session.client("lambda").list_functions()["Functions"]]
    filters = [
        f"{name} to {filter['destinationArn']}{'' if filter['destinationArn'] in functions else ', which is gone'}"
        for name in (group["logGroupName"] for group in logs.describe_log_groups()["logGroups"])
        for filter in logs.describe_subscription_filters(logGroupName=name)["subscriptionFilters"]
    ]
    count = "ApproximateNumberOfMessagesDelayed"
    queues = [f"{url}: {sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[count])['Attributes'][count]}" for url in sqs.list_queues()["QueueUrls"]]
    buckets = [f"{bucket['Name']}: {s3.list_objects_v2(Bucket=bucket['Name'])['KeyCount']}" for bucket in s3.list_buckets()["Buckets"]]
    return {"filters": sorted(filters), "queues": sorted(queues), "buckets": sorted(buckets), "functions": sorted(functions)}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    template, parameters, *older = sys.argv[1:]
    older = [read(path) for path in older]
    json.dump([create(read(template), each, *(older or [None])) for each in json.loads(parameters)], sys.stdout)


main()
