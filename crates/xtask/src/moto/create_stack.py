"""Creates a stack in moto, once with each set of parameters, and prints what exists: create_stack.py TEMPLATE PARAMETERS

TEMPLATE is CloudFormation as JSON, PARAMETERS a JSON list of {"name": "value"}.
"""

import io
import json
import sys
import zipfile

import boto3
import patches  # noqa: F401 - what it changes in moto
from moto import mock_aws


def package():
    """A zip that moto takes for the functions' code."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("bootstrap", "")
    return content.getvalue()


@mock_aws(config={"lambda": {"use_docker": False}})
def create(template, parameters):
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
    s3 = session.client("s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    prefix = parameters.get("ArtifactPrefix", "")
    for name in ["code.zip", *(f"{prefix}lambda-otlp-{program}-{architecture}.zip" for program in ("forwarder", "subscriber") for architecture in ("arm64", "x86_64"))]:
        s3.put_object(Bucket="artifacts", Key=name, Body=package())
    if "KinesisStreamArn" in parameters:
        session.client("kinesis").create_stream(StreamName="logs", ShardCount=1)
    cloudformation = session.client("cloudformation")
    cloudformation.create_stack(
        StackName="telemetry",
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
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
    }


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        template = file.read()
    json.dump([create(template, parameters) for parameters in json.loads(sys.argv[2])], sys.stdout)


main()
