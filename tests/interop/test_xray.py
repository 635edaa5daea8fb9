"""Functions that send to X-Ray's daemon: each invocation is one tree of spans. X-Ray's SDK and Powertools run below the layer's
wrapper, with and without our instrumentation, with Powertools' metrics and log records.
"""

import json
import socket

import pytest
from dev import EXTENSION, dev, log_records, metrics, spans
from local_lambda import REPOSITORY, attributes_of, packages
from node_packages import node_task

SOURCES = REPOSITORY / "tests/interop/unchanged"
ACTIONS = ["take", "take", "fail"]
FAILURE = "the order cannot be fulfilled"
# The span with the annotation, for each handler.
ANNOTATED = {"charge", "## subsegments.charge", "## powertools"}
# What starts the function's first span: only OpenTelemetry's SDK for Python reads the last variable.
STARTS = {
    "fast start, JSON logs": (["--json-logs"], {"LAMBDA_OTLP_INSTRUMENT": "auto"}),
    "no instrumentation": ([], {"LAMBDA_OTLP_INSTRUMENT": "off"}),
    "the SDK": ([], {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}),
}


def invoke(folder, services, *words, env):
    """Invokes the function; returns the printed telemetry, and its spans with their attributes as a dictionary."""
    events = [{"action": action, "number": number} for number, action in enumerate(ACTIONS, 1)]
    env = {"PRICES": services, "POWERTOOLS_SERVICE_NAME": "shop", **env}
    printed, results = dev(folder, events, "--memory", "512", "--timeout", "60s", *EXTENSION, *words, env=env)
    for action, result in zip(ACTIONS, results):
        assert ("failed" in result) == (action == "fail"), (result, printed)
    return printed, [{**span, "attributes": attributes_of(span)} for span in spans(printed)]


def requirements(folder):
    pinned = (SOURCES / folder / "requirements.txt").read_text().splitlines()
    return packages(*(line for line in pinned if "==" in line))


def is_error(span):
    return (span.get("status") or {}).get("code") == 2


def roots_of(spans):
    """Returns the root of each invocation. Each other span is below a span of its trace."""
    known = {(span["traceId"], span["spanId"]) for span in spans}
    for span in spans:
        assert not span.get("parentSpanId") or (span["traceId"], span["parentSpanId"]) in known, (span, spans)
    roots = [span for span in spans if not span.get("parentSpanId")]
    assert len(roots) == len(ACTIONS), roots
    return roots


def of_orders(spans):
    """Returns the span with each order's number, and fails unless it is in a trace of its own and has its failure."""
    roots = [root["traceId"] for root in roots_of(spans)]
    for number, action in enumerate(ACTIONS, 1):
        (span,) = (span for span in spans if span["attributes"].get("order") == number)
        assert roots.count(span["traceId"]) == 1, (span, spans)
        events = json.dumps(span.get("events", []))
        assert is_error(span) == (action == "fail") == (FAILURE in events), span
        yield action, span, events


def assert_subsegments(printed, spans, start):
    """Each invocation has the annotated span, with metadata and, if it failed, its stack. Records and metrics are complete."""
    # The export of telemetry is none of the function's calls. OpenTelemetry's SDK for Python exports by `requests`, which
    # Powertools traces.
    exports = [span for span in spans if "/v1/" in span["attributes"].get("url.full", "")]
    assert start == "the SDK" or not exports, exports
    for action, span, events in of_orders(spans):
        assert span["name"] in ANNOTATED and "aws.xray.annotations" in span["attributes"], span
        assert '"items":["tea"]' in span["attributes"]["aws.xray.metadata.shop"], span
        assert ("exception.stacktrace" in events and "fulfil" in events) == (action == "fail"), span
    charged = [record for record in log_records(printed) if record["body"].get("stringValue") == "the order is charged"]
    known = {(span["traceId"], span["spanId"]) for span in spans}
    for record in charged:
        own = attributes_of(record)
        # Without instrumentation, the extension writes the span with the next invocation: `dev` may show the record before.
        trace = own["aws.xray.trace_id"].removeprefix("1-").replace("-", "")
        is_known = (
            trace in {trace for trace, _ in known}
            if start == "no instrumentation"
            else (record["traceId"], record["spanId"]) in known
        )
        assert "order" in own and is_known, record
    points = [point for metric in metrics(printed) if metric["name"] == "OrdersCharged" for point in metric["sum"]["dataPoints"]]
    counted = sum(float(point.get("asDouble", point.get("asInt", 0))) for point in points)
    is_powertools = any(span["name"] == "## powertools" for span in spans)
    assert counted == len(charged) == (len(ACTIONS) if is_powertools else 0), (points, charged)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("handler", ["subsegments.sdk", "subsegments.powertools"])
def test_python(services, handler, start):
    words, env = STARTS[start]
    env = {"PYTHONPATH": requirements("python"), **env}
    words = [*words, "--active-tracing", "--wrapper", "--runtime", "python", "--handler", handler]
    printed, spans = invoke(SOURCES / "python", services, *words, env=env)
    assert_subsegments(printed, spans, start)


@pytest.mark.parametrize("start", ["fast start, JSON logs", "no instrumentation"])
@pytest.mark.parametrize("handler", ["subsegments.sdk", "subsegments.powertools"])
def test_node(services, tmp_path, handler, start):
    words, env = STARTS[start]
    words = [*words, "--active-tracing", "--wrapper", "--runtime", "node", "--handler", handler]
    printed, spans = invoke(node_task(tmp_path / "task", "node"), services, *words, env={"NODE_NO_WARNINGS": "1", **env})
    assert_subsegments(printed, spans, start)


@pytest.mark.parametrize("tracing", [["--active-tracing"], []])
def test_aws_distribution(services, tracing):
    """The fast start of AWS's distribution, beside the layer without its wrapper. Calls are below their invocations."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = SOURCES / "aws_distro/fast_start"
    env = {
        "PYTHONPATH": f"{start}:{SOURCES / 'aws_distro'}:{requirements('aws_distro')}",
        "OTEL_LAMBDA_RECEIVER_PORT": port,
        "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{port}",
    }
    words = [*tracing, "--runtime", "python", "--handler", "charge.handler"]
    _, spans = invoke(SOURCES / "aws_distro", services, *words, env=env)
    for action, served, _ in of_orders(spans):
        calls = [span for span in spans if span.get("parentSpanId") == served["spanId"] and span["name"] == "GET"]
        assert len(calls) == (action != "fail"), (served, spans)
