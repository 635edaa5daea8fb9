"""The fast start exports the same telemetry as OpenTelemetry's SDK: each column of a function's telemetry, with the one and the
other.
"""

import ast
import difflib
import hashlib
import importlib
import json
import os
import pathlib
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from isolation import isolated  # noqa: F401
from local_lambda import CACHE, LAYER, function_python, made_once

FUNCTION = LAYER / "tests/function/start.py"
REQUIREMENTS = LAYER / "requirements.txt"
# Attributes with values that differ from run to run.
OF_RUN = ("exception.stacktrace",)


@pytest.fixture(scope="module")
def packages(isolated):
    """The layer's packages, which also decode its telemetry."""

    def make(folder):
        pip = [function_python() / "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*pip, "--target", folder, "--requirement", REQUIREMENTS], check=True)

    version = hashlib.sha256(repr((sys.version_info[:2], REQUIREMENTS.read_bytes())).encode()).hexdigest()[:16]
    folder = str(made_once(f"layer-{version}", make))
    sys.path.append(folder)
    return folder


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append((self.path, body))
        self.send_response_only(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def run(packages, opt, events, variables):
    """Returns the received telemetry, the function's output, and the layer's messages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.bodies = []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    of_wrapper = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "shop",
        # Prevents dropped telemetry on a busy machine.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "20",
        "AWS_LAMBDA_FUNCTION_NAME": "shop",
        "_HANDLER": "everything.handler",
        "PACKAGES": packages,
        "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode"),
    }
    command = [function_python() / "python3", FUNCTION, LAYER, opt, json.dumps(events)]
    ended = subprocess.run(command, env={**of_wrapper, **variables}, capture_output=True, text=True, check=False)
    server.shutdown()
    server.server_close()
    said = [
        line
        for line in ended.stderr.splitlines()
        if line.startswith("lambda-otlp-handler:") and "starts with OpenTelemetry's SDK" not in line
    ]
    return columns(server.bodies), ended.stdout.splitlines(), said


def columns(bodies):
    """Returns each resource and each item as text, without ids and times. Numbers replace the ids of instances."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    items = []
    of_resources = set()
    instances = {}
    for path, body in bodies:
        request = (ExportTraceServiceRequest if path == "/v1/traces" else ExportMetricsServiceRequest)()
        request.ParseFromString(body)
        for resources in MessageToDict(request).popitem()[1]:
            scopes = resources.pop("scopeSpans", None) or resources.pop("scopeMetrics")
            for each in resources["resource"]["attributes"]:
                if each["key"] == "service.instance.id":
                    each["value"] = f"instance {instances.setdefault(each['value']['stringValue'], len(instances))}"
            of_resources.add(as_text(resources, {}))
            for scoped in scopes:
                found = scoped.pop("spans", None) or scoped.pop("metrics")
                items += [{"scope": scoped, **item} for item in found]
    names = {item["spanId"]: item["name"] for item in items if "spanId" in item}
    return sorted(of_resources) + sorted(as_text(item, names) for item in items)


def as_text(item, names):
    return json.dumps(plain(item, names), sort_keys=True, ensure_ascii=False)


def plain(value, names):
    if isinstance(value, list):
        found = [plain(each, names) for each in value]
        # Attributes and data points have no order.
        return sorted(found, key=json.dumps) if all(isinstance(each, dict) and "name" not in each for each in found) else found
    if not isinstance(value, dict):
        return value
    if value.get("key") in OF_RUN:
        return {"key": value["key"]}
    found = {name: plain(each, names) for name, each in value.items() if name not in ("traceId", "spanId")}
    if "parentSpanId" in found:
        found["parentSpanId"] = names.get(found["parentSpanId"], found["parentSpanId"])
    if "exemplars" in found:
        # The SDK keeps an arbitrary measurement.
        found["exemplars"] = "exemplars"
    return {name: "time" if name.endswith("UnixNano") and len(each) > 10 else each for name, each in found.items()}


def link_api(packages, task):
    """Puts opentelemetry-api into a function's package, as libraries that depend on it do."""
    os.makedirs(os.path.join(task, "opentelemetry"))
    information = next(name for name in os.listdir(packages) if name.startswith("opentelemetry_api-"))
    with open(os.path.join(packages, information, "RECORD")) as record:
        files = [line.split(",")[0].split("/") for line in record]
    for name in {"typing_extensions.py", information, *(os.path.join(*file[:2]) for file in files if file[0] == "opentelemetry")}:
        os.symlink(os.path.join(packages, name), os.path.join(task, name))


PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "k=v", "Baggage": "u=1"}
TRACING_HEADER = {"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}
DELTA_OR_NOT = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
ALL = [{"case": case, "headers": PARENT} for case in ("spans", "senders", "requests", "counts", "bounds", "observers")]
SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
NO_SDK = ["-the SDK is loaded: True", "+the SDK is loaded: False"]
INTERVALS = "+intervals begin at the restore: True"


def text(**values):
    return json.dumps(values, sort_keys=True)


def attributes(**values):
    return [
        {"key": key.replace("_", "."), "value": value if key == "service_instance_id" else {"stringValue": value}}
        for key, value in values.items()
    ]


def resource(instance=0):
    sdk = {"telemetry_sdk_language": "python", "telemetry_sdk_name": "opentelemetry", "telemetry_sdk_version": "1.45.1"}
    own = attributes(service_instance_id=f"instance {instance}", service_name="shop", telemetry_auto_version="0.66b1", **sdk)
    return text(resource={"attributes": own})


METER = {"schemaUrl": "https://example.com/1", "scope": {"name": "shop", "version": "1.2"}}
TRACER = {
    "schemaUrl": "https://example.com/1",
    "scope": {**METER["scope"], "attributes": [{"key": "a", "value": {"intValue": "1"}}]},
}


def span(name, parent="shop", scope=TRACER, **more):
    times = {"startTimeUnixNano": "time", "endTimeUnixNano": "time"}
    return text(
        **{
            "name": name,
            "kind": "SPAN_KIND_INTERNAL",
            "parentSpanId": parent,
            "scope": scope,
            "flags": 256,
            "status": {},
            **times,
            **more,
        }
    )


def root(**more):
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:shop:alias"
    found = json.loads(span("shop", scope={"scope": {"name": "lambda-otlp/handler"}}, kind="SPAN_KIND_SERVER", **more))
    if "parentSpanId" not in more:
        del found["parentSpanId"]
    texts = {
        "aws.lambda.invoked_arn": arn,
        "cloud.account.id": "123456789012",
        "cloud.resource_id": arn,
        "faas.invocation_id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "faas.trigger": "other",
    }
    of_invocation = [{"key": key, "value": {"stringValue": value}} for key, value in texts.items()]
    of_invocation.insert(3, {"key": "faas.coldstart", "value": {"boolValue": True}})
    return text(**found, attributes=[*of_invocation, {"key": "http.response.status_code", "value": {"intValue": "200"}}])


def gauge():
    return text(name="flushed", scope=METER, gauge={"dataPoints": [{"asInt": "1", "timeUnixNano": "time"}]})


def counter(value):
    point = {"asInt": value, "startTimeUnixNano": "time", "timeUnixNano": "time", "exemplars": "exemplars"}
    total = {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [point], "isMonotonic": True}
    return text(name="counter", description="counts", unit="1", scope=METER, sum=total)


IGNORED = "+lambda-otlp-handler: OTEL_RESOURCE_ATTRIBUTES: 'nothing' is ignored, because it is not of the form name=value"
# The events, the variables, the number of the SDK's resources and items, and differences of the fast start in telemetry, output
# and messages.
CASES = {
    "all": ([*ALL, {}, {}], {}, 60, NO_SDK),
    "cumulative, baggage": ([*ALL, {}, {}], {DELTA_OR_NOT: "cumulative", "OTEL_PROPAGATORS": "baggage"}, 90, NO_SDK),
    "a parent of X-Ray": (
        [{"case": "senders", "headers": {**PARENT, **TRACING_HEADER}}],
        {"OTEL_PROPAGATORS": "tracecontext,xray"},
        3,
        NO_SDK,
    ),
    "odd variables": (
        [{}],
        {"OTEL_RESOURCE_ATTRIBUTES": "a=b%20c, d = e ,a=2,nothing", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        2,
        [*NO_SDK, IGNORED],
    ),
    "another propagator": ([{}], {"OTEL_PROPAGATORS": "b3"}, 0, []),
    "no telemetry": ([{"case": "spans"}], {"OTEL_SDK_DISABLED": "true"}, 0, []),
    "the SDK, late": (
        [{"case": "sdk"}],
        {},
        3,
        [
            f"{sign}{{'statusCode': 200, 'saw': ({is_sdk}, [('seen', 'shop', 'shop')])}}"
            for sign, is_sdk in (("-", (False, False, True)), ("+", (True, True, True)))
        ],
    ),
    "a snapshot": ([], SNAP_START, 10, []),
    "a restored environment": ([{"case": "counts"}], SNAP_START, 17, [f"+{resource(1)}", INTERVALS, *NO_SDK]),
    "an id of the function": (
        [{}],
        {**SNAP_START, "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=a"},
        13,
        [INTERVALS, *NO_SDK],
    ),
    "an API of the function": (ALL, {"PYTHONPATH": "TASK"}, 44, NO_SDK),
}


def differences(before, after):
    return [line for line in list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:] if not line.startswith("@@")]


@pytest.fixture
def opt(packages, tmp_path):
    """The folder that Lambda mounts."""
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/python-packages").symlink_to(packages)
    return tmp_path / "opt"


@pytest.mark.parametrize("case", CASES)
def test_the_fast_start_exports_the_telemetry_of_the_sdk(packages, opt, tmp_path, case):
    events, variables, count, expected = CASES[case]
    if "PYTHONPATH" in variables:
        link_api(packages, tmp_path / "task")
        variables = {"PYTHONPATH": str(tmp_path / "task")}
    # Only the SDK supports this variable, so the function starts with the SDK.
    of_sdk = run(packages, opt, events, {**variables, "OTEL_BSP_EXPORT_TIMEOUT": "30000"})
    of_fast = run(packages, opt, events, variables)
    assert len(of_sdk[0]) == count, of_sdk
    assert [line for before, after in zip(of_sdk, of_fast) for line in differences(before, after)] == expected
    if case == "another propagator":
        assert of_fast[1] == ["cannot be imported: Propagator b3 not found. It is either misspelled or not installed."]


FASTAPI = {"scope": {"name": "fastapi"}}
STATE = {"traceState": "k=v"}
HEADERS = {name.lower(): value for name, value in PARENT.items()}
# Cases in which the SDK differs: it would wait 30 seconds for itself, exports the parent's spans twice, and gives a framework no
# parent. The event, the telemetry, and the result.
FAST = {
    "a callback that flushes": ({"case": "flushers"}, [resource(), root(), gauge(), gauge()], None),
    "a forked process": (
        {"case": "forks"},
        [resource(), resource(1), root(), counter("1"), counter("5"), span("forks"), span("of the child", "forks")],
        3,
    ),
    "a web framework": (
        {"case": "requests", "headers": HEADERS},
        [
            resource(),
            root(flags=768, parentSpanId="t61rcWkgMzE=", **STATE),
            span("request", scope=FASTAPI, **STATE),
            span("request", scope=FASTAPI, **STATE),
            span("sends", **STATE),
            span("request", "sends", FASTAPI, flags=768, **STATE),
        ],
        [(True, ["u"]), (True, ["u"]), (False, ["u"])],
    ),
}


@pytest.mark.parametrize("case", FAST)
def test_the_fast_start_exports_telemetry_that_the_sdk_does_not(packages, opt, case):
    event, telemetry, result = FAST[case]
    expected = [str({"statusCode": 200, "saw": result}), "the SDK is loaded: False"]
    assert run(packages, opt, [event], {}) == (telemetry, expected, [])


def imports_of(nodes):
    """Returns modules and names that are imported at run time."""
    for node in nodes:
        is_for_checkers = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module, each.name) for each in node.names)
        yield from imports_of(node.orelse if is_for_checkers else ast.iter_child_nodes(node))


def test_the_packages_import_only_names_that_the_files_in_place_have(packages):
    in_place = importlib.import_module("lambda_otlp_packages").IN_PLACE
    missing = set()
    for file in pathlib.Path(packages).rglob("*.py"):
        is_replaced = file.relative_to(packages).parts[0].removesuffix(".py") in in_place
        content = b"" if is_replaced else file.read_bytes()
        for module, name in imports_of([ast.parse(content)]) if any(name.encode() in content for name in in_place) else ():
            if (
                module in in_place
                and f"{module}.{name}" not in in_place
                and not hasattr(importlib.import_module(in_place[module]), name)
            ):
                missing.add(f"{file}: {module}.{name}")
    assert not missing


def test_the_instrumentations_require_versions_in_a_form_that_the_layer_reads(packages):
    Requirement = importlib.import_module("lambda_otlp_packaging").Requirement
    declared = [runpy.run_path(str(file)) for file in pathlib.Path(packages).glob("opentelemetry/instrumentation/*/package.py")]
    values = [value for names in declared for name, value in names.items() if name.startswith("_instruments")]
    required = [text for value in values for text in ([value] if isinstance(value, str) else value)]
    assert len(required) > 3
    assert all(Requirement(text).name and Requirement(text).bounds for text in required), required
