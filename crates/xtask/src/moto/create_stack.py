"""Creates a stack of a SAM template in moto, once with each set of parameters, and prints its state: create_stack.py TEMPLATE PARAMETERS

PARAMETERS is a JSON list of {"name": "value"}.
"""

import ast
import io
import itertools
import json
import sys
import zipfile

import boto3
import patches  # noqa: F401 - patches moto when imported
from moto import mock_aws
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """Prevents a request to AWS for names of managed policies, which the template does not use."""

    def load(self):
        return {}


def package():
    """Returns a zip that moto accepts as a function's code."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("bootstrap", "")
    return content.getvalue()


def expanded(path):
    """Returns the CloudFormation template for a SAM template, with code from a bucket as by `sam package`."""
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in resource["Properties"]:
                resource["Properties"][name] = "s3://artifacts/code.zip"
        if "Code" in resource["Properties"]:
            resource["Properties"]["Code"] = {"S3Bucket": "artifacts", "S3Key": "code.zip"}
    return transform(template, {}, NoManagedPolicies())


@mock_aws(config={"lambda": {"use_docker": False}})
def create(template, parameters):
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
    s3 = session.client("s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="artifacts", Key="code.zip", Body=package())
    if "KinesisStreamArn" in parameters:
        session.client("kinesis").create_stream(StreamName="logs", ShardCount=1)
    if parameters.get("LogGroups", "").startswith("/"):
        session.client("logs").create_log_group(logGroupName=parameters["LogGroups"])
    cloudformation = session.client("cloudformation")
    cloudformation.create_stack(
        StackName="telemetry",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        TemplateBody=json.dumps(template),
    )
    stack = cloudformation.describe_stacks(StackName="telemetry")["Stacks"][0]
    functions = session.client("lambda").list_functions()["Functions"]
    return {
        "status": stack["StackStatus"],
        "outputs": [output["OutputKey"] for output in stack.get("Outputs", [])],
        "variables": [function["Environment"]["Variables"] for function in functions],
        "mappings": len(session.client("lambda").list_event_source_mappings()["EventSourceMappings"]),
        "grants": [grant for role in session.client("iam").list_roles()["Roles"] for grant in grants(session, role["RoleName"])],
    }


def grants(session, role):
    """Lists the permissions of a role, as "ForwarderRole: sqs:SendMessage on arn:…"."""
    iam = session.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        # moto returns the policies of a role's own property as Python's text.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        for statement in document["Statement"]:
            for action, resource in itertools.product(as_list(statement["Action"]), as_list(statement["Resource"])):
                yield f"{role.split('-')[1]}: {action} on {resource}"


def as_list(value):
    return value if isinstance(value, list) else [value]


template = expanded(sys.argv[1])
json.dump([create(template, parameters) for parameters in json.loads(sys.argv[2])], sys.stdout)
