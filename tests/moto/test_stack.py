"""Creates the stack of template.yaml with several sets of parameters. Its programs must accept their variables."""

import ast
import io
import itertools
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import lambda_api  # noqa: F401
import pytest
import recipe
from aws import ACCOUNT, COMMAND_LINE, FORWARDER, REGION, ROLE, ROOT, SUBSCRIBER
from moto.awslambda.models import LambdaFunction, LayerVersion, get_backend
from moto.cloudformation import parsing
from moto.cloudformation.models import Stack
from moto.kinesis.models import KinesisBackend
from moto.logs.models import LogsBackend
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:o2-AbCdEf"
PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key"
RECORDS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/lambda-otlp/telemetry/records"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"


# What the redrive function may ask about executions.
OF_MACHINES = {"states:DescribeExecution", "states:DescribeMapRun", "states:GetExecutionHistory"}
OF_DURABLE_FUNCTIONS = {"lambda:GetDurableExecution", "lambda:GetDurableExecutionHistory"}


@pytest.fixture
def cloudformation(aws, monkeypatch):
    """Corrects differences of moto from CloudFormation."""
    clean = parsing.clean_json
    update = parsing.parse_and_update_resource
    parameters = Stack.parameter_list.fget

    def clean_json(*arguments):
        """CloudFormation drops AWS::NoValue from lists; moto leaves a null there."""
        cleaned = clean(*arguments)
        return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned

    def parse_and_update_resource(logical_id, resource, resources, **arguments):
        """CloudFormation skips a resource whose condition is false. moto evaluates its properties, which may refer to absent
        ones.
        """
        condition = resource.get("Condition")
        if condition and not resources.lazy_condition_map[condition]:
            return None
        return update(logical_id, resource, resources, **arguments)

    def parameter_list(stack):
        """CloudFormation returns a list as the given text; moto returns a list."""
        as_text = lambda value: ",".join(value) if isinstance(value, list) else value  # noqa: E731
        return [{**each, "ParameterValue": as_text(each["ParameterValue"])} for each in parameters(stack)]

    create = LogsBackend.create_log_group

    def create_log_group(backend, name, tags, **properties):
        """CloudFormation encrypts a log group with its key, which moto ignores."""
        return create(backend, name, tags, **{"kmsKeyId": properties.get("KmsKeyId"), **properties})

    stream = KinesisBackend.create_stream

    def create_stream(backend, name, shards, **properties):
        """CloudFormation reads the number in a text, as parameters are; moto does not."""
        return stream(backend, name, int(shards), **properties)

    monkeypatch.setattr(KinesisBackend, "create_stream", create_stream)
    monkeypatch.setattr(LogsBackend, "create_log_group", create_log_group)
    monkeypatch.setattr(parsing, "clean_json", clean_json)
    monkeypatch.setattr(parsing, "parse_and_update_resource", parse_and_update_resource)
    monkeypatch.setattr(Stack, "parameter_list", property(parameter_list))
    # A custom resource counts as created without a response.
    monkeypatch.setattr(LambdaFunction, "invoke", lambda *_: None)
    aws.reset()
    return aws


class NoManagedPolicies:
    """Prevents a request to AWS for names of managed policies, which the template does not use."""

    def load(self):
        return {}


def template(file=ROOT / "template.yaml"):
    """Returns the CloudFormation template for a SAM template, with code from a bucket as by `sam package`."""
    template = yaml_parse(file.read_text())
    for resource in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in resource["Properties"]:
                resource["Properties"][name] = "s3://artifacts/code.zip"
        if "Code" in resource["Properties"]:
            resource["Properties"]["Code"] = {"S3Bucket": "artifacts", "S3Key": "code.zip"}
    return json.dumps(transform(template, {}, NoManagedPolicies()))


def as_list(value):
    return value if isinstance(value, list) else [value]


def grants(aws):
    """Returns the permissions of the roles, as "ForwarderRole: sqs:SendMessage on arn:…"."""
    found = set()
    for role in aws.iam.list_roles()["Roles"]:
        for name in aws.iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            document = aws.iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
            # moto returns the policies of a role's own property as Python's text.
            document = ast.literal_eval(document) if isinstance(document, str) else document
            for statement in document["Statement"]:
                for action, resource in itertools.product(as_list(statement["Action"]), as_list(statement["Resource"])):
                    found.add(f"{role['RoleName'].split('-')[1]}: {action} on {resource}")
    return found


def warnings(aws, program, variables, folder):
    """Returns the warnings with which a program starts. No backend accepts its own metrics here."""
    options = ["--no-extension", "--aws", "--region", REGION]
    for key, value in {**variables, "AWS_ENDPOINT_URL": aws.endpoint}.items():
        options += ["--env", f"{key}={value}"]
    ended = subprocess.run(
        [COMMAND_LINE, "dev", *options, "--", program],
        env={**aws.variables, "PATH": "/usr/bin"},
        cwd=folder,
        input="{}\n",
        capture_output=True,
        text=True,
    )
    said = ended.stdout + ended.stderr
    assert "=>" in said, said
    lines = [line for line in said.splitlines() if "own metrics" not in line]
    return [line for line in lines if "WARN" in line or "LAMBDA_OTLP_" in line]


@pytest.mark.parametrize(
    ("parameters", "expected", "has_subscriber", "mappings"),
    [
        pytest.param({}, [], False, 1, id="only an endpoint"),
        pytest.param(
            {"Secret": SECRET, "LogGroups": "/aws/lambda/orders"},
            [f"secretsmanager:GetSecretValue on {SECRET}"],
            False,
            1,
            id="the README's parameters",
        ),
        pytest.param(
            {
                "Secret": "/o2/auth#authorization",
                "LogGroups": "/aws/lambda/orders",
                "Collect": "telemetry",
                "Rules": "/o2/rules",
                "DestinationSecretArns": f"{PARAMETER}/b",
                "KmsKeyArns": f"{KEY}/1",
                "KinesisStreamArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/logs",
                "StorageKmsKeyArn": f"{KEY}/2",
                "ReservedConcurrency": "5",
                "SubnetIds": "subnet-1,subnet-2",
                "SecurityGroupIds": "sg-1",
                "AlarmTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms",
                "LogRetentionInDays": "30",
                "PermissionsBoundaryArn": BOUNDARY,
                "IamRolePath": "/observability/",
            },
            [
                f"ssm:GetParameter on {PARAMETER}/o2/auth",
                f"ssm:GetParameter on {PARAMETER}/o2/rules",
                f"ssm:GetParameter on {PARAMETER}/b",
                f"kms:Decrypt on {KEY}/1",
                f"kms:GenerateDataKey on {KEY}/2",
            ],
            False,
            2,
            id="every parameter of rules, keys, a VPC and Kinesis",
        ),
        pytest.param(
            {
                "Backend": "otlp",
                "Headers": "x-tenant=shop",
                "Rules": "rules.toml",
                "Stream": "lambda",
                "IngestWindow": "24h",
                "PlatformSpans": "true",
                "Executions": "none",
                "Vitals": "both",
                "MemorySize": "512",
                "Architecture": "x86_64",
                "LogGroups": "/aws/lambda/orders",
                "CreateKinesisStream": "true",
            },
            [],
            False,
            2,
            id="another backend, a stream of the stack for one log group",
        ),
        pytest.param({"LogGroups": "*", "ExcludedLogGroups": "/aws/lambda/noisy"}, [], False, 1, id="the account"),
        pytest.param(
            {
                "LogGroups": "/aws/lambda/*,/ecs/shop",
                "ExcludedLogGroups": "*-dev",
                "SubscribeTags": "team=shop",
                "Collect": "spilled",
                "CreateKinesisStream": "2",
            },
            [],
            True,
            2,
            id="log groups by the subscriber, into a stream",
        ),
        pytest.param(
            {"Backend": "otlp", "Signals": "cumulative_metrics", "Vitals": "emf"},
            [],
            False,
            1,
            id="a backend without most signals",
        ),
        pytest.param(
            recipe.STACK,
            [f"ssm:GetParameter on {PARAMETER}/telemetry/{name}" for name in ("honeycomb", "grafana", "rules")],
            True,
            1,
            id="three backends of docs/backends.md",
        ),
        pytest.param(
            {
                "Backend": "cloudwatch",
                "Endpoint": f"https://xray.{REGION}.amazonaws.com/",
                "Headers": "x-tenant=shop",
                "LogGroups": "/aws/lambda/*,aws/*",
                "ExcludedLogGroups": "*-dev",
            },
            [f"logs:PutLogEvents on {RECORDS}", "xray:PutSpans on *", "cloudwatch:PutMetricData on *"],
            True,
            1,
            id="CloudWatch's endpoints",
        ),
    ],
)
def test_the_stacks_functions_accept_their_variables(cloudformation, tmp_path, parameters, expected, has_subscriber, mappings):
    aws = cloudformation
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bootstrap", "")
    aws.create_bucket("artifacts")
    aws.s3.put_object(Bucket="artifacts", Key="code.zip", Body=code.getvalue())
    aws.kinesis.create_stream(StreamName="logs", ShardCount=1)
    aws.ssm.put_parameter(Name="/o2/rules", Value="# none", Type="String")
    recipe.put_parameters(aws)
    (tmp_path / "rules.toml").write_text("# none")
    if parameters.get("LogGroups", "").startswith("/"):
        aws.logs.create_log_group(logGroupName=parameters["LogGroups"].split(",")[0].replace("*", "x"))
    given = {"Endpoint": "https://o2.example.com/api/default", **parameters}
    aws.cloudformation.create_stack(
        StackName="telemetry",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        TemplateBody=template(),
    )
    assert aws.cloudformation.describe_stacks(StackName="telemetry")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    assert len(aws.lambda_.list_event_source_mappings()["EventSourceMappings"]) == mappings
    granted = grants(aws)
    for role, grant in itertools.product(["ForwarderRole", "RedriveRole"], expected):
        assert f"{role}: {grant}" in granted
    of_stack = [role for role in aws.iam.list_roles()["Roles"] if role["RoleName"].startswith("telemetry-")]
    for role in of_stack:
        boundary = aws.iam.get_role(RoleName=role["RoleName"])["Role"].get("PermissionsBoundary", {})
        assert boundary.get("PermissionsBoundaryArn", "") == given.get("PermissionsBoundaryArn", "")
        assert role["Path"] == given.get("IamRolePath", "/")
    for group in aws.logs.describe_log_groups(logGroupNamePrefix="/lambda-otlp/")["logGroups"]:
        assert group["retentionInDays"] == int(given.get("LogRetentionInDays", 14))
        assert group.get("kmsKeyId", "") == given.get("StorageKmsKeyArn", "")
    functions = [function["Environment"]["Variables"] for function in aws.lambda_.list_functions()["Functions"]]
    subscribers = [variables for variables in functions if "LAMBDA_OTLP_INCLUDE" in variables]
    if given.get("Backend") == "cloudwatch":
        # CloudWatch writes the spans there.
        assert [variables["LAMBDA_OTLP_EXCLUDE"] for variables in subscribers] == ["aws/spans,*-dev"]
    assert (len(subscribers), len(functions)) == (has_subscriber, 2 + has_subscriber)
    for variables in functions:
        program = SUBSCRIBER if variables in subscribers else FORWARDER
        assert warnings(aws, program, variables, tmp_path) == []
        for name in ["LAMBDA_OTLP_RETRY_QUEUE_URL", "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL"]:
            if name in variables:
                queue = variables[name].rsplit("/", 1)[1]
                send = f"sqs:SendMessage on arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
                assert sum(grant.endswith(send) for grant in granted) >= 2, send


@pytest.mark.parametrize(
    ("executions", "sources", "reads"),
    [
        ("none", None, set()),
        ("state-machines", ["aws.states"], OF_MACHINES),
        ("durable-functions", ["aws.lambda"], OF_DURABLE_FUNCTIONS),
        ("both", ["aws.states", "aws.lambda"], OF_MACHINES | OF_DURABLE_FUNCTIONS),
    ],
)
def test_the_stack_reads_the_histories_that_the_parameter_names(cloudformation, tmp_path, executions, sources, reads):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bootstrap", "")
    aws = cloudformation
    aws.create_bucket("artifacts")
    aws.s3.put_object(Bucket="artifacts", Key="code.zip", Body=code.getvalue())
    given = {"Endpoint": "https://o2.example.com/api/default", "Executions": executions}
    aws.cloudformation.create_stack(
        StackName="telemetry",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        TemplateBody=template(),
    )
    assert aws.cloudformation.describe_stacks(StackName="telemetry")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    granted = grants(aws)
    # Only the redrive function reads histories.
    of_histories = {grant for grant in granted if re.search("Execution|MapRun", grant.split(" ")[1])}
    assert {grant.split(" ")[1] for grant in of_histories} == reads
    assert all(grant.startswith("RedriveRole: ") and not grant.endswith(" on *") for grant in of_histories)
    rules = aws.events.list_rules()["Rules"]
    mappings = aws.lambda_.list_event_source_mappings()["EventSourceMappings"]
    functions = [function["Environment"]["Variables"] for function in aws.lambda_.list_functions()["Functions"]]
    named = [variables.get("LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN") for variables in functions]
    queues = [name for name in named if name]
    for variables in functions:
        assert warnings(aws, FORWARDER, variables, tmp_path) == []
    if sources is None:
        assert (rules, queues, len(mappings)) == ([], [], 1)
        return
    [rule] = rules
    [queue] = queues
    pattern = json.loads(rule["EventPattern"])
    assert pattern["source"] == sources
    assert (pattern["account"], pattern["region"]) == ([ACCOUNT], [REGION])
    assert pattern["detail"]["status"] == ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "STOPPED"]
    [target] = aws.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == queue
    assert queue in [mapping["EventSourceArn"] for mapping in mappings]
    url = next(url for url in aws.sqs.list_queues()["QueueUrls"] if url.endswith(queue.split(":")[-1]))
    attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["DelaySeconds"] == "60"
    # moto keeps no policy of a queue.
    policy = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["ExecutionsQueuePolicy"]["Properties"]
    [statement] = [it for it in policy["PolicyDocument"]["Statement"] if it["Effect"] == "Allow"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ExecutionsRule", "Arn"]}}}


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ("traces,metrics,logs", None),
        ("cumulative_metrics", "Traces are not sent. Delta metrics are not sent. Logs are not sent. "),
        ("logs,traces", "Metrics are not sent. "),
        ("traces,logs,metrics", ""),
    ],
)
def test_the_stack_names_what_it_does_not_send(cloudformation, signals, expected):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bootstrap", "")
    aws = cloudformation
    aws.create_bucket("artifacts")
    aws.s3.put_object(Bucket="artifacts", Key="code.zip", Body=code.getvalue())
    given = {"Endpoint": "https://o2.example.com/api/default", "Backend": "otlp", "Signals": signals}
    aws.cloudformation.create_stack(
        StackName="telemetry",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        TemplateBody=template(),
    )
    [stack] = aws.cloudformation.describe_stacks(StackName="telemetry")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs.get("SignalsNotSent") == expected


def test_cloudformation_refuses_to_forward_what_cloudwatch_writes():
    """moto does not evaluate rules."""
    rule = yaml_parse((ROOT / "template.yaml").read_text())["Rules"]["CloudWatchWritesSpans"]

    def evaluate(node, parameters):
        match node:
            case {"Ref": name}:
                return parameters[name]
            case {"Fn::Equals": [one, other]}:
                return evaluate(one, parameters) == evaluate(other, parameters)
            case {"Fn::Not": [condition]}:
                return not evaluate(condition, parameters)
            case text:
                return text

    def is_refused(**parameters):
        [assertion] = rule["Assertions"]
        return evaluate(rule["RuleCondition"], parameters) and not evaluate(assertion["Assert"], parameters)

    assert is_refused(Backend="cloudwatch", LogGroups="aws/spans")
    assert not is_refused(Backend="cloudwatch", LogGroups="/aws/lambda/orders")
    assert not is_refused(Backend="openobserve", LogGroups="aws/spans")


@pytest.mark.skipif("RELEASE_TEMPLATES" not in os.environ, reason="`cargo xtask moto` makes the templates of a release")
@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_template_of_a_release_publishes_the_layers_that_instrument_adds(cloudformation, monkeypatch, architecture):
    aws = cloudformation
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bootstrap", "")
    aws.create_bucket("artifacts")
    aws.s3.put_object(Bucket="artifacts", Key="code.zip", Body=code.getvalue())

    def publish(resource_name, cloudformation_json, account_id, region_name, **_):
        """moto ignores the name and the architectures of a layer, and lacks its reference, the ARN."""
        version = get_backend(account_id, region_name).publish_layer_version(cloudformation_json["Properties"])
        version.physical_resource_id = version.arn
        return version

    monkeypatch.setattr(LayerVersion, "create_from_cloudformation_json", publish)
    aws.cloudformation.create_stack(
        StackName="telemetry",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": "Endpoint", "ParameterValue": "https://o2.example.com/api/default"}],
        TemplateBody=template(Path(os.environ["RELEASE_TEMPLATES"]) / f"template-{architecture}.yaml"),
    )
    [stack] = aws.cloudformation.describe_stacks(StackName="telemetry")["Stacks"]
    arns = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    names = {output: arn.split(":")[-2] for output, arn in arns.items() if ":layer:" in arn and "Arn" in output}
    packages = {f"PackagesArnPython3{minor}": f"telemetry-python3{minor}" for minor in range(10, 15)}
    assert names == {
        "LayerArn": f"telemetry-{architecture}",
        "LayerArnArm64": "telemetry-arm64",
        "LayerArnX8664": "telemetry-x86_64",
        "PackagesArnNode": "telemetry-node",
        **packages,
    }
    for name, its_architecture in [("on-arm64", "arm64"), ("on-x86-64", "x86_64")]:
        aws.lambda_.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="app.handler",
            Role=ROLE,
            Architectures=[its_architecture],
            Code={"ZipFile": code.getvalue()},
        )
        _, printed = aws.run("instrument", "--function", name, "--stack", "telemetry")
        [function] = printed["functions"]
        assert function["layers_after"] == [
            arns[f"LayerArn{its_architecture.title().replace('_', '')}"],
            arns["PackagesArnPython313"],
        ]


@pytest.mark.parametrize(
    ("endpoint", "is_accepted"),
    [
        ("https://o2.example.com", False),
        ("https://o2.example.com/api/default", True),
        ("http://10.0.0.1:5080/o2/api/shop", True),
        ("https://api.openobserve.ai", False),
        ("https://api.openobserve.ai/api/shop", True),
        ("https://collector.example.com:4318/", True),
        ("https://collector.example.com:4318/v1/traces", False),
        ("https://o2.example.com/api/default/v1/logs/", False),
        ("https://collector.example.com/v1/metrics?key=1", False),
        ("https://collector.example.com/v1/metrics-of-shop", True),
    ],
)
def test_an_endpoint_without_its_organization_or_with_a_signals_path_is_refused(endpoint, is_accepted):
    endpoints = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]["Endpoint"]
    assert bool(re.search(endpoints["AllowedPattern"], endpoint)) == is_accepted
