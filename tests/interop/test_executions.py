"""A durable function below the layer's wrapper: AWS's SDK, with and without its OpenTelemetry plugin, and AWS's local runner, which
stores the steps and invokes the function at `lambda-otlp dev --http`. All invocations of an execution are one trace.

Functions of a state machine in three languages: their spans hang below those that the forwarder makes of the machine's history.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from datetime import UTC, datetime

import pytest
from backend import Backend
from local_lambda import PROGRAMS, REPOSITORY, Run, attributes_of, function_python, packages, run
from stand_in import StandIn, serve

RUNNER = "aws-durable-execution-sdk-python-testing==1.4.0"
SDK = "aws-durable-execution-sdk-python==3.0.0"
PLUGIN = "aws-durable-execution-sdk-python-otel==2.0.0"
# Three invocations: a step fails once, and the handler waits.
APP = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration
tried = []
def pay(step):
    tried.append(1)
    if len(tried) == 1: raise RuntimeError("first try fails")
    return 2
@durable_execution
def handler(event, context):
    context.step(lambda step: 1, name="reserve")
    context.step(pay, name="pay")
    context.wait(Duration.from_seconds(1), name="parcel")
    if event.get("fail"): raise ValueError("no stock")
    return {"ok": True}
"""
ENV = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
LONGEST_S = 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(command, log, **options):
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **options)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def wait_for(condition, what):
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(what())


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def execute(folder, *requirements, payload, env=(), options=()):
    """Runs an execution of the function to its end. Returns its telemetry."""
    (folder / "app.py").write_text(APP)
    own, runner = packages(SDK, *requirements), packages(RUNNER)
    function, store = free_port(), free_port()
    variables = {"PYTHONPATH": own, "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{store}", **dict(env)}
    environ = {**os.environ, **ENV, "PATH": f"{function_python()}:{os.environ['PATH']}"}
    dev = [PROGRAMS / "lambda-otlp", "dev", "--json", "--http", str(function), "--name", "shop", "--handler", "app.handler"]
    dev += ["--extension", PROGRAMS / "lambda-otlp-extension", "--wrapper", *options]
    dev += [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    of_runner = {**environ, "PYTHONPATH": str(runner)}
    serve = [runner / "bin/dex-local-runner", "start-server", "--host", "127.0.0.1", "--port", str(store)]
    serve += ["--lambda-endpoint", f"http://127.0.0.1:{function}"]
    printed = folder / "dev.log"
    with (
        started([*dev, "--runtime", "python"], printed, cwd=folder, env=environ),
        started(serve, folder / "runner.log", env=of_runner),
    ):
        wait_for(lambda: answers(function) and answers(store), printed.read_text)
        body = {"FunctionName": "shop", "FunctionQualifier": "1", "AccountId": "123456789012", "Input": json.dumps(payload)}
        body |= {
            "ExecutionName": "order-7",
            "ExecutionTimeoutSeconds": 300,
            "ExecutionRetentionPeriodDays": 7,
            "InvocationId": "i",
        }
        start = urllib.request.Request(f"http://127.0.0.1:{store}/start-durable-execution", json.dumps(body).encode())
        urllib.request.urlopen(start).close()
        ended = ("Status:SUCCEEDED", "Status:FAILED")
        plain = str.maketrans("", "", ' "\\')
        wait_for(lambda: any(text in printed.read_text().translate(plain) for text in ended), printed.read_text)
    lines = [line for line in printed.read_text().splitlines() if line.startswith("{")]
    return Run("\n".join(lines))


def tree(ran):
    """Returns the traces, and the parents that are no span."""
    ids = {span["spanId"] for span in ran.spans}
    missing = {span["parentSpanId"] for span in ran.spans if span.get("parentSpanId")} - ids
    return {span["traceId"] for span in ran.spans}, missing


def distinct(spans):
    """Returns the spans by their ids: `dev` prints a trace again after each of its invocations."""
    return list({span["spanId"]: span for span in spans}.values())


@pytest.mark.parametrize("options", [(), ("--active-tracing",)], ids=["", "active tracing"])
def test_an_execution_is_one_trace(tmp_path, options):
    ran = execute(tmp_path, payload={"order": 7}, options=options)
    traces, missing = tree(ran)
    assert (len(traces), missing) == (1, set()), ran.text
    servers = sorted(distinct(ran.kind("SERVER")), key=lambda span: int(span["startTimeUnixNano"]))
    (execution,) = distinct(ran.named("shop execution"))
    assert {span["parentSpanId"] for span in servers} == {execution["spanId"]}
    name = "aws.lambda.durable_execution."
    of_servers = [(span["attributes"][f"{name}first_invocation"], span["attributes"][f"{name}status"]) for span in servers]
    assert of_servers == [(True, "PENDING"), (False, "PENDING"), (False, "SUCCEEDED")]
    assert execution["attributes"][f"{name}status"] == "SUCCEEDED"


def test_a_failed_execution_has_a_failed_span(tmp_path):
    ran = execute(tmp_path, payload={"fail": True})
    (execution,) = distinct(ran.named("shop execution"))
    assert execution["status"] == {"code": 2, "message": "no stock"}, ran.text


@pytest.mark.parametrize("options", [(), ("--active-tracing",)], ids=["Sampled=0", "Sampled=1"])
@pytest.mark.parametrize("plugin", ["otel-execution", "otel-invocation"])
def test_the_plugins_spans_are_in_the_same_trace_and_none_vanishes(tmp_path, plugin, options):
    env = {"DURABLE_EXECUTION_PLUGINS": plugin}
    ran = execute(tmp_path, PLUGIN, payload={"order": 7}, env=env, options=options)
    traces, missing = tree(ran)
    # The plugin's parent is Lambda's segment, which only X-Ray has.
    assert len(traces) == 1 and len(missing) <= 3, ran.text
    names = [span["name"] for span in distinct(ran.spans)]
    assert {"Workflow", "reserve", "pay", "parcel"} <= {name.split(" ")[0] for name in names}, names
    (workflow,) = distinct(ran.named("Workflow"))
    assert {span["parentSpanId"] for span in ran.kind("SERVER")} == {workflow["spanId"]}
    assert any(span["kind"] == "CLIENT" for span in ran.spans), names


MACHINE = json.loads((REPOSITORY / "tests/fixtures/executions/machine.json").read_text())
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:executions"


@pytest.fixture(scope="module")
def history_spans(tmp_path_factory):
    """The spans that the forwarder makes of the machine's status event and history."""

    class Histories(StandIn):
        def do_POST(self):
            self.read()
            self.answer(json.dumps(MACHINE["history"]).encode())

    aws = serve(Histories)
    backend = Backend()
    message = {"messageId": "m", "receiptHandle": "r", "body": json.dumps(MACHINE["status"]), "eventSource": "aws:sqs"}
    message |= {"eventSourceARN": QUEUE, "awsRegion": "eu-west-1", "attributes": {"ApproximateReceiveCount": "1"}}
    env = {"LAMBDA_OTLP_ENDPOINT": backend.url, "LAMBDA_OTLP_BACKEND": "otlp"}
    env |= {"AWS_ENDPOINT_URL": aws.url, "LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN": QUEUE}
    forwarder = [PROGRAMS / "lambda-otlp-forwarder"]
    folder = tmp_path_factory.mktemp("forwarder")
    ran = run(folder, [{"Records": [message]}], env=env, command=forwarder, wrapper=False)
    aws.shutdown()
    spans, _, _ = backend.decoded()
    assert spans, (ran.results, ran.text)
    return spans


def attempts(state):
    """The events of a function that passes on Step Functions' context object, as they were at each of its attempts."""
    events = {event["id"]: event for event in MACHINE["history"]["events"]}
    entered = next(event for event in events.values() if event.get("stateEnteredEventDetails", {}).get("name") == state)
    redrives = retries = 0
    for event in events.values():
        if event["type"] == "ExecutionRedriven":
            redrives, retries = redrives + 1, 0
        called = event.get("lambdaFunctionScheduledEventDetails", {}).get("resource", "")
        if called.endswith(f":function:{state}"):
            since = datetime.fromtimestamp(entered["timestamp"], UTC).isoformat(timespec="milliseconds")
            yield {
                "action": "ok",
                "Execution": {"Id": MACHINE["status"]["detail"]["executionArn"], "RedriveCount": redrives},
                "State": {"Name": state, "EnteredTime": since.replace("+00:00", "Z"), "RetryCount": retries},
                "StateMachine": {"Name": "orders"},
            }
            retries += 1


FUNCTIONS = {
    "python": {"files": {"app.py": "def handler(event, context): return event['State']['Name']"}},
    "node": {"files": {"app.cjs": "exports.handler = async (event) => event.State.Name;"}, "runtime": "node"},
    # The library traces the function, and needs no wrapper.
    "rust": {"command": [PROGRAMS / "demo-function"], "wrapper": False},
}


@pytest.mark.parametrize(("language", "state"), [("python", "pay"), ("node", "pack"), ("rust", "ship")])
def test_functions_of_a_machine_hang_below_its_states(tmp_path, history_spans, language, state):
    events = list(attempts(state))
    ran = run(tmp_path, events, env={"DEMO_LEDGER": tmp_path / "ledger"}, **FUNCTIONS[language])
    servers = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    assert len(servers) == len(events), ran.text
    by_id = {(span["traceId"], span["spanId"]): span for span in history_spans}
    parents = [by_id[server["traceId"], server["parentSpanId"]] for server in servers]
    found = [(parent["name"], attributes_of(parent).get("aws.step_functions.attempt")) for parent in parents]
    # The first attempt's function is below the state, and each later one's below its own attempt.
    later = [(f"{state} attempt", number) for number in range(2, len(events) + 1)]
    assert found == [(state, None), *later]
