"""Functions without OpenTelemetry code, below the layer's wrapper: each invocation is one trace, written before the response, and
ends as without the layer.
"""

import json
import socket
import subprocess
import time
from typing import NamedTuple

import pytest
from local_lambda import CACHE, LAYER, PROGRAMS, REPOSITORY, attributes_of, packages, run
from node_packages import node_task

SOURCES = REPOSITORY / "tests/interop/unchanged"
FUNCTION = "shop"
# The instructions of each invocation. "wait" waits for an answer that never comes, "compute" and "block" compute forever, "kill"
# ends the process at once, "leave" and "exit" end it as a program does, "throw" and "reject" by an uncaught error.
PYTHON = "take odd take libraries threads queue topic fail wait take compute kill take leave take".split()
NODE = "take odd take fail wait take block exit take throw reject take".split()
SHORT = "take odd fail take wait".split()
COMPLETE = ("take", "odd", "fail", "libraries", "threads", "queue", "topic")
# The start after a timeout is part of the invocation. With boto3, a slow machine took more than 4 s.
TIMEOUT = "8s"
# The time that requests and messages waited, by their events.
WAITED_MS = 2000

TRACE = "0af7651916cd43dd8448eb211c80319c"
# The senders of a message of a queue, of a topic's in a queue, and of a topic's.
OF_QUEUE = "b7ad6b7169203331"
IN_QUEUE = "c7ad6b7169203331"
OF_TOPIC = "d7ad6b7169203331"


def traceparent(span):
    return f"00-{TRACE}-{span}-01"


def message(identifier, attributes, body, sent_ms):
    own = {"messageId": identifier, "body": body, "messageAttributes": attributes, "attributes": {"SentTimestamp": str(sent_ms)}}
    return {**own, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders"}


def notification(identifier, span):
    attributes = {"traceparent": {"Type": "String", "Value": traceparent(span)}}
    own = {"Type": "Notification", "MessageId": identifier, "Message": "x", "MessageAttributes": attributes}
    return {**own, "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders"}


def event(action, number):
    sent_ms = time.time_ns() // 1_000_000 - WAITED_MS
    # The event comes from outside: its sender may put anything into it.
    made = {"action": action, "number": number, "headers": {"traceparent": 5 if action == "odd" else None}}
    if action == "take":
        made.update(httpMethod="GET", requestContext={"requestTimeEpoch": sent_ms})
    if action == "queue":
        attributes = {"traceparent": {"dataType": "String", "stringValue": traceparent(OF_QUEUE)}}
        in_queue = message("2", {}, json.dumps(notification("n", IN_QUEUE)), sent_ms)
        made["Records"] = [message("1", attributes, "a", sent_ms), in_queue]
    if action == "topic":
        made["Records"] = [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": notification("3", OF_TOPIC)}]
    return made


def invoke(folder, actions, services, *, env=(), **options):
    # Ended spans are exported soon: by default, five seconds after their end.
    own = {
        "PRICES": services,
        "AWS_ENDPOINT_URL": services,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "LAMBDA_OTLP_INFERRED_SPANS": "true",
    }
    # The extension and the wrapper choose the port.
    own |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_LAMBDA_RECEIVER_PORT": ""}
    events = [event(action, number) for number, action in enumerate(actions, 1)]
    return run(folder, events, timeout=TIMEOUT, env={**own, **dict(env)}, **options)


@pytest.fixture
def taken_port():
    """Occupies the usual port, so that the extension uses another one, and the wrapper tells the SDK. Another program may have it
    already.
    """
    try:
        with socket.create_server(("127.0.0.1", 4318)):
            yield
    except OSError:
        yield


PYTHON_ROWS = {
    "boto3": ("shop.handler", PYTHON, {}),
    "boto3, the SDK": ("shop.handler", PYTHON, {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}),
    "patched by gevent": ("patched.handler", SHORT, {}),
    "patched by gevent, the SDK": ("patched.handler", SHORT, {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}),
}


@pytest.mark.parametrize("row", PYTHON_ROWS)
def test_python(row, services, taken_port):
    handler, actions, env = PYTHON_ROWS[row]
    pinned = (SOURCES / "python/requirements.txt").read_text().splitlines()
    path = {"PYTHONPATH": str(packages(*(line for line in pinned if "==" in line)))}
    without = invoke(SOURCES / "python", actions, services, handler=handler, wrapper=False, env=path)
    ran = invoke(SOURCES / "python", actions, services, handler=handler, env={**path, **env})
    # Only the SDK reads the variable.
    assert ("starts with OpenTelemetry's SDK" in ran.text) == bool(env), ran.text
    assert ran.results == without.results, ran.text
    assert_traces(ran, actions)


class NodeRow(NamedTuple):
    handler: str
    actions: list = SHORT
    # The folder with the description of the function's packages.
    packages_of: str = "node"
    # The range of OpenTelemetry's API, if the function has spans of its own.
    api: str | None = None


# The forms of handlers: a promise, a callback, in an object, in an ES module. Then functions with packages of OpenTelemetry.
NODE_ROWS = {
    "promise": NodeRow("shop.handler", actions=NODE),
    "callback": NodeRow("shop.calledBack"),
    "in an object": NodeRow("shop.inside.handler"),
    "ES module": NodeRow("shop_module.handler"),
    "OpenTelemetry's packages": NodeRow("shop.handler", packages_of="own_sdk"),
    "own spans by the oldest API": NodeRow("own_spans.handler", api="1.0.0"),
    "own spans by the newest API": NodeRow("own_spans.handler", api="1"),
}


def newest(package):
    """Returns the newest version in this range."""
    found = subprocess.run(["npm", "view", "--json", package, "version"], check=True, capture_output=True, text=True)
    versions = json.loads(found.stdout)
    if isinstance(versions, str):
        # The range has one version.
        return versions
    return max(versions, key=lambda version: [int(part) for part in version.split(".")])


@pytest.mark.parametrize("row", NODE_ROWS)
def test_node(row, services, taken_port, tmp_path):
    handler, actions, packages_of, api = NODE_ROWS[row]
    # Packages besides those of the description.
    others = [f"@opentelemetry/api@{newest(f'@opentelemetry/api@{api}')}"] if api else []
    task = node_task(tmp_path / "task", packages_of, *others)
    without = invoke(task, actions, services, runtime="node", handler=handler, wrapper=False)
    ran = invoke(task, actions, services, runtime="node", handler=handler)
    assert ran.results == without.results, ran.text
    for action, server in zip(actions, assert_traces(ran, actions)):
        own = [(span["traceId"], span.get("parentSpanId")) for span in ran.named("order") if span["traceId"] == server["traceId"]]
        assert own == ([(server["traceId"], server["spanId"])] if api else []), (action, ran.text)


def test_node_in_a_thread_of_the_runtime(services, tmp_path):
    """On managed instances, a thread of the runtime calls the handler, and the extension writes spans at any time."""
    actions = ["take", "odd", "fail", "take"]
    task = node_task(tmp_path / "task", "node")
    node = subprocess.run(["node", "-p", "process.execPath"], check=True, capture_output=True, text=True).stdout.strip()
    for name, program in [("node", node), ("lambda-otlp-extension", PROGRAMS / "lambda-otlp-extension")]:
        variables = "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances AWS_LAMBDA_MAX_CONCURRENCY=1"
        (tmp_path / name).write_text(f'#!/bin/sh\nexport {variables}\nexec {program} "$@"\n')
        (tmp_path / name).chmod(0o755)
    # The first run makes the layer of packages.
    invoke(task, ["take"], services, runtime="node", handler="shop.handler")
    options = ["--layer", CACHE.parent / "dev/node-layer/layer", "--extension", tmp_path / "lambda-otlp-extension"]
    without, ran = (
        invoke(
            task,
            actions,
            services,
            handler="shop.handler",
            wrapper=wrapper,
            options=options,
            command=[tmp_path / "node", task / "runtime.mjs"],
        )
        for wrapper in (False, True)
    )
    assert ran.results == without.results, ran.text
    for action, server in zip(actions, servers(ran, actions)):
        assert server["attributes"]["faas.coldstart"] is False
        assert_calls(action, server, [span for span in ran.spans if span["traceId"] == server["traceId"]])


def test_an_sdk_of_the_function_stays(services, tmp_path):
    """An SDK that the function sets up by NODE_OPTIONS has its own spans, each once, and the log says why there are no others."""
    actions = ["take"] * 4
    task = node_task(tmp_path / "task", "own_sdk")
    ran = invoke(task, actions, services, runtime="node", handler="shop.handler", env={"NODE_OPTIONS": "--require ./tracing.js"})
    assert sum("not instrumented, because it loads @opentelemetry/instrumentation" in line for line in ran.lines) == 1, ran.text
    for method, path in [("GET", "/price"), ("POST", "/")]:
        calls = [span for span in ran.named(method) if span["attributes"].get("http.url") == services + path]
        # The last invocation's may not be exported when the environment ends.
        assert len(calls) in (len(actions) - 1, len(actions)), ran.spans
    assert not [span for span in ran.spans if span["scope"] == "lambda-otlp/handler"], ran.spans


PLATFORM = "lambda-otlp/platform"


def servers(ran, actions):
    """Returns the one SERVER span of each invocation."""
    found = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    assert len(found) == len({span["attributes"]["faas.invocation_id"] for span in found}) == len(actions), (found, ran.text)
    return found


def assert_traces(ran, actions):
    """Each invocation has one SERVER span, of the function's name, in its own trace, with its calls as children, however it
    ended.
    """
    assert len({span["spanId"] for span in ran.spans}) == len(ran.spans), "a span was written twice"
    found = servers(ran, actions)
    own = [span for span in ran.spans if span["scope"] != PLATFORM]
    traces = [server["traceId"] for server in found]
    assert len(set(traces)) == len(traces)
    assert {span["traceId"] for span in own} <= set(traces), ran.spans
    assert {span["service"] for span in own} == {FUNCTION}
    for number, (action, server) in enumerate(zip(actions, found)):
        of_invocation = [span for span in own if span["traceId"] == server["traceId"] and span["results_before"] == number]
        # Not every instrumentation can read the odd event.
        if action == "odd" and not of_invocation:
            continue
        assert is_error(server) == (action == "fail" or action not in COMPLETE), server
        assert_calls(action, server, of_invocation)
    return found


def is_error(span):
    return span.get("status", {}).get("code") == 2


def is_partial(span):
    return span["attributes"].get("lambda_otlp.partial") is True


def below(spans, kind, parent):
    return [span for span in spans if span["kind"] == kind and span.get("parentSpanId") == parent["spanId"]]


# The wait before the invocation, by the action.
WAITS = {"take": "HTTP wait", "queue": "orders wait"}
# The error type of an invocation that the process did not survive, and the exception of its span.
ERRORS = {
    "throw": ("RangeError", True),
    "reject": ("RangeError", True),
    "leave": ("SystemExit", True),
    "exit": ("Runtime.ExitError", False),
}
# The messages of the queue, and their senders. The sender to the topic is the invocation's parent.
LINKS = {"queue": [("1", OF_QUEUE), ("2", IN_QUEUE)]}


def assert_calls(action, server, spans):
    """Calls are below the invocation's span. Spans that were open when the invocation was cut off are partial and errors."""
    # Messages have a span of their own.
    consumers = below(spans, "CONSUMER", server)
    calls = below(spans, "CLIENT", consumers[0] if consumers else server)
    if action in WAITS:
        (wait,) = (span for span in below(spans, "INTERNAL", server) if span["name"] == WAITS[action])
        assert wait["attributes"]["lambda_otlp.inferred"] is True
        assert int(server["startTimeUnixNano"]) - int(wait["startTimeUnixNano"]) >= WAITED_MS * 1_000_000, (wait, server)
    assert not [span for span in spans if span["name"] == "POST"], "the runtime's call"
    complete = [span["name"] for span in calls if not is_partial(span)]
    partial = [span["name"] for span in calls if is_partial(span) and is_error(span)]
    if action != "fail":
        assert any("GET" in name for name in complete) and any("ListQueues" in name for name in complete), (action, calls)
    if action in ("wait", "exit", "throw", "reject"):
        assert any("GET" in name for name in partial), (action, calls)
    # Python's threads take turns, so it has a partial span. The extension writes the span of a process without time for it.
    by_function = action not in ("block", "kill")
    cut_off = action in ("wait", "compute", "exit", "throw", "reject")
    assert (server["scope"] != PLATFORM, is_partial(server)) == (by_function, cut_off), (action, server)
    if action in ERRORS:
        error_type, has_exception = ERRORS[action]
        assert server["attributes"]["error.type"] == error_type, server
        if has_exception:
            assert attributes_of(server["events"][0])["exception.type"] == error_type, server
    links = [(link["traceId"], link["spanId"], link["attributes"]) for span in spans for link in span["links"]]
    assert links == [(TRACE, sender, {"messaging.message.id": message}) for message, sender in LINKS.get(action, [])], (
        action,
        spans,
    )
    if action == "topic":
        assert (server["traceId"], server["parentSpanId"]) == (TRACE, OF_TOPIC)
    if action == "libraries":
        assert_libraries(calls)
    if action == "threads":
        assert len([span for span in calls if span["name"] == "GET"]) == 5, calls


def assert_libraries(calls):
    """Each library that the layer instruments has a call."""
    prefix = "opentelemetry-instrumentation-"
    pinned = (LAYER / "requirements.txt").read_text().splitlines()
    names = {line.removeprefix(prefix).split("==")[0] for line in pinned if line.startswith(prefix)}
    of_databases = {"asyncpg", "dbapi", "psycopg", "psycopg2", "pymongo", "pymysql", "redis", "sqlalchemy"}
    # Threads have no spans of calls. test_databases.py has the spans of databases.
    for name in names - {"threading"} - of_databases:
        scope = f"opentelemetry.instrumentation.{name.replace('-', '_')}"
        found = [span for span in calls if span["scope"] == scope or span["scope"].startswith(f"{scope}.")]
        # One package instruments httpx and httpx2.
        assert len(found) == (2 if name == "httpx" else 1), (name, calls)
