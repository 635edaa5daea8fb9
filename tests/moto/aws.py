"""moto's server in this process, as the AWS that the programs call, and the functions that it invokes."""

import json
import os
import re
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

import boto3
from moto.awslambda.models import LambdaFunction
from moto.cloudformation.custom_model import CustomModel
from moto.core.exceptions import JsonRESTError
from moto.logs.models import LogEvent
from moto.logs.responses import LogsResponse
from moto.server import ThreadedMotoServer

REGION = os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/forwarder"
ROOT = Path(__file__).parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
COMMAND_LINE = PROGRAMS / "lambda-otlp"
FORWARDER = PROGRAMS / "lambda-otlp-forwarder"
# Answers at any URL; the deployed program answers at S3 only.
SUBSCRIBER = PROGRAMS / "examples/subscriber-for-tests"


def function_arn(name):
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def function_resource(name):
    properties = {"FunctionName": name, "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": ROLE}
    return {"Type": "AWS::Lambda::Function", "Properties": {**properties, "Code": {"ZipFile": "none"}}}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Aws:
    """moto's server. Each module has one, which the fixture resets."""

    def __init__(self):
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self.session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)
        self.clients = {}
        # Variables by which a program finds this server instead of AWS.
        self.variables = {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def __getattr__(self, service):
        """The client of a service: `aws.sqs`."""
        name = {"lambda_": "lambda"}.get(service, service)
        if name not in self.clients:
            self.clients[name] = self.session.client(name, endpoint_url=self.endpoint)
        return self.clients[name]

    def reset(self):
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")).read()
        functions.stop()
        logs.reset()
        self.iam.create_role(RoleName="forwarder", AssumeRolePolicyDocument="{}")

    def create_function(self, name):
        """Creates a function as moto knows it. It runs if a process of `functions` has its name."""
        code = {"ZipFile": b"PK\x05\x06" + bytes(18)}
        self.lambda_.create_function(FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=ROLE, Code=code)

    def allow_logs(self, name):
        """Lets CloudWatch Logs invoke the function, as the stack does."""
        permission = {"Action": "lambda:InvokeFunction", "Principal": "logs.amazonaws.com", "SourceAccount": ACCOUNT}
        self.lambda_.add_permission(FunctionName=name, StatementId="logs", **permission)

    def create_stack(self, name, resources):
        self.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

    def create_queue(self, name, **attributes):
        return self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def receive(self, url, seconds=30):
        """Receives up to ten messages, and hides them for some seconds."""
        received = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=seconds)
        return received.get("Messages", [])

    def create_bucket(self, name):
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def create_log_stream(self, group, stream, **of_group):
        for create, names in [
            (self.logs.create_log_group, {"logGroupName": group, **of_group}),
            (self.logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
        ]:
            try:
                create(**names)
            except self.logs.exceptions.ResourceAlreadyExistsException:
                pass

    def write_lines(self, group, lines, now_ms):
        stream = "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef"
        self.create_log_stream(group, stream)
        events = [{"timestamp": now_ms, "message": line} for line in lines]
        put = self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        assert "rejectedLogEventsInfo" not in put, put

    def run(self, *arguments, **variables):
        """Runs `lambda-otlp … --json`; returns the exit code and the output."""
        ended = subprocess.run(
            [COMMAND_LINE, *arguments, "--json"], env={**self.variables, **variables}, capture_output=True, text=True, timeout=300
        )
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def says(self, *arguments):
        """Runs `lambda-otlp`; returns what it prints."""
        ended = subprocess.run([COMMAND_LINE, *arguments], env=self.variables, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended
        return ended.stdout + ended.stderr

    def refuses(self, *arguments):
        """Runs `lambda-otlp`, which does nothing; returns its message."""
        ended = subprocess.run([COMMAND_LINE, *arguments], env=self.variables, capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout) == (64, ""), ended
        return ended.stderr


class Function:
    """A function's program in the local Lambda of `lambda-otlp dev`."""

    def __init__(self, name, program, variables, timeout):
        options = ["--no-extension", "--http", "0", "--name", name, "--timeout", timeout, "--aws", "--region", REGION]
        for key, value in variables.items():
            options += ["--env", f"{key}={value}"]
        self.name = name
        self.failures = []
        self.process = subprocess.Popen(
            [COMMAND_LINE, "dev", *options, "--", program],
            env={"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"listening on (http://[0-9.:]+)", line):
                self.endpoint = found[1]
                break
        else:
            raise AssertionError(said)
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def invoke(self, event):
        """Returns the response, and remembers a failure."""
        body = event if isinstance(event, (str, bytes)) else json.dumps(event)
        request = urllib.request.Request(
            f"{self.endpoint}/2015-03-31/functions/{self.name}/invocations", data=body.encode() if isinstance(body, str) else body
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            response = answer.read()
            if "X-Amz-Function-Error" in answer.headers:
                self.failures.append(response)
        return json.loads(response or "null")


class Functions(dict):
    def start(self, name, program, variables, timeout="60s"):
        self[name] = Function(name, program, variables, timeout)
        return self[name]

    def stop(self):
        for function in self.values():
            function.process.terminate()
            function.process.wait()
        self.clear()


class CloudWatchLogs:
    """Differences of moto from CloudWatch Logs, and its calls."""

    def reset(self):
        self.calls = {}
        self.throttled = 0
        self.account_policies = []
        self.infrequent_access = self.throttled_of = None

    def take_calls(self):
        calls = self.calls
        throttled = self.throttled
        self.calls = {}
        self.throttled = 0
        return calls, throttled

    def called(self, operation):
        """Counts a call. Throttles every tenth that describes or changes filters or tags, if a test asks for it."""
        count = self.calls[operation] = self.calls.get(operation, 0) + 1
        is_of_filters = "subscription_filter" in operation or "tags" in operation
        if self.throttled_of and is_of_filters and count % self.throttled_of == 0:
            self.throttled += 1
            raise JsonRESTError("ThrottlingException", "Rate exceeded")


functions = Functions()
logs = CloudWatchLogs()
logs.reset()


def invoke(function, body, *_):
    """CloudWatch Logs and `aws lambda invoke` run the process of this name, if there is one."""
    running = functions.get(function.function_name)
    return json.dumps(running.invoke(body)) if running else "null"


def with_aws_id(make):
    """Pads the ids of log events to 56 digits, as in AWS; moto's are small numbers."""

    def made(event, *arguments):
        make(event, *arguments)
        event.event_id = f"{event.event_id:056d}"

    return made


def counted(operation, answer):
    def counting(response):
        logs.called(operation)
        return answer(response)

    return counting


def with_class(describe):
    """moto lacks the log group class."""

    def described(response):
        page = json.loads(describe(response))
        for group in page["logGroups"]:
            is_infrequent = group["logGroupName"] == logs.infrequent_access
            group["logGroupClass"] = "INFREQUENT_ACCESS" if is_infrequent else "STANDARD"
        return json.dumps(page)

    return described


LambdaFunction.invoke = invoke
LogEvent.__init__ = with_aws_id(LogEvent.__init__)
CustomModel.is_created = lambda resource: True
LogsResponse.describe_log_groups = with_class(LogsResponse.describe_log_groups)
LogsResponse.describe_account_policies = lambda response: json.dumps({"accountPolicies": logs.account_policies})
for operation in [
    "describe_log_groups",
    "list_tags_for_resource",
    "describe_subscription_filters",
    "put_subscription_filter",
    "delete_subscription_filter",
]:
    setattr(LogsResponse, operation, counted(operation, getattr(LogsResponse, operation)))
