"""Runs everything.py with the fast start and with OpenTelemetry's SDK, and compares each column of the received telemetry. Prints a
line and the differences for each case.

The arguments are the layer's folder and the folder of its packages.
"""

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "k=v", "Baggage": "u=1"}
TRACING_HEADER = {"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}
DELTA_OR_NOT = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
ALL = [{"case": case, "headers": PARENT} for case in ("spans", "senders", "requests", "counts", "bounds", "observers")]
SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
CASES = {
    "all": ([*ALL, {}, {}], {}),
    "cumulative, baggage": ([*ALL, {}, {}], {DELTA_OR_NOT: "cumulative", "OTEL_PROPAGATORS": "baggage"}),
    "a parent of X-Ray": ([{"case": "senders", "headers": {**PARENT, **TRACING_HEADER}}], {"OTEL_PROPAGATORS": "tracecontext,xray"}),
    "a callback that flushes": ([{"case": "flushers"}], {}),
    "a forked process": ([{"case": "forks"}], {}),
    "a web framework": ([{"case": "requests", "headers": {name.lower(): value for name, value in PARENT.items()}}], {}),
    "odd variables": ([{}], {"OTEL_RESOURCE_ATTRIBUTES": "a=b%20c, d = e ,a=2,nothing", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}),
    "another propagator": ([{}], {"OTEL_PROPAGATORS": "b3"}),
    "no telemetry": ([{"case": "spans"}], {"OTEL_SDK_DISABLED": "true"}),
    "the SDK, late": ([{"case": "sdk"}], {}),
    "a snapshot": ([], SNAP_START),
    "a restored environment": ([{"case": "counts"}], SNAP_START),
    "an id of the function": ([{}], {**SNAP_START, "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=a"}),
}
# In the first case, the SDK would wait 30 seconds for itself. In the second, it exports the parent's spans twice. In the third, the
# comparison with an empty result prints all values.
WITHOUT_SDK = ("a callback that flushes", "a forked process", "a web framework")
# Attributes with values that differ from run to run.
OF_RUN = ("exception.stacktrace",)


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


def run(layer, packages, bytecode, events, variables):
    """Returns a function's output, the wrapper's messages, and the received telemetry."""
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
        "PYTHONPYCACHEPREFIX": bytecode,
    }
    with tempfile.TemporaryDirectory() as opt:
        os.symlink(packages, os.path.join(opt, "python-packages"))
        command = [sys.executable, __file__, "function", layer, opt, json.dumps(events)]
        ended = subprocess.run(command, env={**of_wrapper, **variables}, capture_output=True, text=True)
    server.shutdown()
    server.server_close()
    said = [line for line in ended.stderr.splitlines() if line.startswith("lambda-otlp-handler:") and "starts with OpenTelemetry's SDK" not in line]
    return ended.stdout.splitlines(), said, columns(server.bodies)


def function(layer, opt, events):
    sys.path[0] = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, layer)
    import lambda_otlp_handler

    sys.path.remove(layer)
    lambda_otlp_handler.wait_for_the_handler(opt)
    hooks = sys.modules["snapshot_restore_py"] = Hooks("snapshot_restore_py")
    try:
        import everything
    except Exception as error:
        return print(f"cannot be imported: {error}")
    lambda_context = SimpleNamespace(
        function_name="shop",
        aws_request_id="8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:shop:alias",
        get_remaining_time_in_millis=lambda: 60000,
    )
    # The runtime gets the handler once.
    handler = everything.handler
    for hook in reversed(hooks.before):
        hook()
    if not events:
        # The restored environments export nothing in this case.
        os._exit(0)
    restored = time.time_ns()
    for hook in hooks.after:
        hook()
    meters = sys.modules["opentelemetry.metrics"].get_meter_provider()
    if hooks.after and hasattr(meters, "meters"):
        instruments = [each for meter in meters.meters.values() for each in meter.instruments.values()]
        print(f"intervals begin at the restore: {all(each.begun >= restored for each in instruments)}")
    for event in events:
        print(handler(event, lambda_context))
    print(f"the SDK is loaded: {any(name.endswith('opentelemetry.sdk.trace') for name in sys.modules)}")


class Hooks(ModuleType):
    """The module of AWS's runtime for functions with SnapStart."""

    def __init__(self, name):
        super().__init__(name)
        self.before, self.after = [], []

    def register_before_snapshot(self, hook):
        self.before.append(hook)

    def register_after_restore(self, hook):
        self.after.append(hook)


def columns(bodies):
    """Returns each resource and each item as text, without ids and times. Numbers replace the ids of instances."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    items, of_resources, instances = [], set(), {}
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


def main(layer, packages):
    sys.path.append(packages)
    with tempfile.TemporaryDirectory() as bytecode, tempfile.TemporaryDirectory() as task:
        sys.pycache_prefix = bytecode
        link_api(packages, task)
        CASES["an API of the function"] = (ALL, {"PYTHONPATH": task})
        compare(layer, packages, bytecode)


def link_api(packages, task):
    """Puts opentelemetry-api into a function's package, as libraries that depend on it do."""
    os.mkdir(os.path.join(task, "opentelemetry"))
    information = next(name for name in os.listdir(packages) if name.startswith("opentelemetry_api-"))
    with open(os.path.join(packages, information, "RECORD")) as record:
        files = [line.split(",")[0].split("/") for line in record]
    for name in {"typing_extensions.py", information, *(os.path.join(*file[:2]) for file in files if file[0] == "opentelemetry")}:
        os.symlink(os.path.join(packages, name), os.path.join(task, name))


def compare(layer, packages, bytecode):
    for case, (events, variables) in CASES.items():
        # Only the SDK supports this variable, so the function starts with the SDK.
        of_sdk = {**variables, "OTEL_BSP_EXPORT_TIMEOUT": "30000"}
        printed, told, expected = ([], [], []) if case in WITHOUT_SDK else run(layer, packages, bytecode, events, of_sdk)
        of_fast, said, found = run(layer, packages, bytecode, events, variables)
        print(f"{case}: {len(expected)} lines", *(line for line in of_fast if line.startswith("cannot be imported")), sep=", ")
        for before, after in ((expected, found), (printed, of_fast), (told, said)):
            different = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
            print("".join(f"    {re.sub(r'127.0.0.1:[0-9]+', 'HOST', line)}\n" for line in different if not line.startswith("@@")), end="")


if sys.argv[1] == "function":
    function(*sys.argv[2:4], json.loads(sys.argv[4]))
else:
    main(*sys.argv[1:])
