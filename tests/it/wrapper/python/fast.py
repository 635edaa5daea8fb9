"""Checks lambda_otlp_wire.py and the decisions of lambda_otlp_fast.py, without OpenTelemetry's packages. Prints a line for each case.

The first argument is the layer's folder.
"""

import importlib
import importlib.util
import os
import socket
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
fast = importlib.import_module("lambda_otlp_fast")
wire = importlib.import_module("lambda_otlp_wire")


def tell(case, *values):
    print(f"{case}: {', '.join(map(str, values))}")


# Libraries that the function searches for before it imports them.
with tempfile.TemporaryDirectory() as folder:
    for name, text in (("searched", ""), ("broken", "raise ValueError")):
        with open(os.path.join(folder, f"{name}.py"), "w") as file:
            file.write(text)
    sys.path.append(folder)
    imports, imported = fast.Imports(lambda action: action()), []
    sys.meta_path.insert(0, imports)
    for name in ("searched", "missing", "broken"):
        imports.when_imported(name, lambda name=name: imported.append(name))
        tell(f"finds {name}", *(importlib.util.find_spec(name) is not None for _ in range(2)))
        for _ in range(2):
            try:
                importlib.import_module(name)
            except Exception as error:
                tell(f"imports {name}", type(error).__name__)
    tell("imported", *imported)
    sys.meta_path.remove(imports)
    sys.path.remove(folder)

# Settings in variables.
EXTENSION = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_LOGS_EXPORTER": "none"}


def decided(case, **variables):
    try:
        found = fast.settings({**EXTENSION, **variables})
        tell(case, f"fast to {found.address[0]}:{found.address[1]} every {found.delay:g} s, {found.preference}")
    except fast.NotFast as reason:
        tell(case, f"the SDK, because {reason}")


decided("nothing else")
decided("delta", OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
decided("an instrumentation's", OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST="a", OTEL_PYTHON_URLLIB_EXCLUDED_URLS="b")
decided("another protocol", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
decided("another backend", OTEL_EXPORTER_OTLP_ENDPOINT="https://o2.example.com")
decided("another backend for traces", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:4319/v1/traces")
decided("a console", OTEL_TRACES_EXPORTER="console")
decided("logs", OTEL_LOGS_EXPORTER="otlp")
decided("limits", OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="5")
decided("a delay", OTEL_BSP_SCHEDULE_DELAY="100")
decided("no delay", OTEL_BSP_SCHEDULE_DELAY="soon")
decided("propagators", OTEL_PROPAGATORS=" tracecontext,baggage , xray")
decided("a propagator of the function", OTEL_PROPAGATORS="tracecontext,b3")
decided("an empty one", OTEL_PYTHON_CONFIGURATOR="")


# Packages on the path.
def found(case, *files, at="task"):
    with tempfile.TemporaryDirectory() as folder:
        layer = os.path.join(folder, "layer")
        os.makedirs(os.path.join(layer, "opentelemetry", "sdk"))
        for name, text in files:
            place = os.path.join(folder, at, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w") as file:
                file.write(text)
        before, sys.path[:] = list(sys.path), [os.path.join(folder, "task"), os.path.join(folder, "missing")]
        try:
            fast.only_the_layers(layer)
            tell(case, "fast")
        except fast.NotFast as reason:
            tell(case, str(reason).replace(folder, ""))
        finally:
            sys.path[:] = before


found("the layer's packages")
found("a library", ("boto3/__init__.py", ""), ("boto3-1.dist-info/entry_points.txt", "[console_scripts]\na = b:c"))
found("packages of the function", ("opentelemetry/sdk/__init__.py", ""))
API = ("opentelemetry_api-1.dist-info/entry_points.txt", "[opentelemetry_context]\na = b:C"), ("opentelemetry/trace/__init__.py", "")
found("an API", *API, ("opentelemetry/version/__init__.py", '__version__ = "1.45.2"'))
found("an old API", *API, ("opentelemetry/version/__init__.py", '__version__ = "1.29.0"'))
found("a later API", *API, ("opentelemetry/version/__init__.py", '__version__ = "2.0.0"'))
found("an API without a version", *API)
found("an instrumentation of the function", ("openinference-1.dist-info/entry_points.txt", "[opentelemetry_instrumentor]\na = b:C"))
found("an archive", ("task", ""), at="")

# Versions of libraries.
sys.modules["library"] = SimpleNamespace(__version__="1.44.5")
for requirement in ("library~=1.0", "library ~= 1.44", "library >= 1.0.0, < 3.0.0", "library~=2.0", "library < 1.44", "library != 2", "other >= 1"):
    tell(requirement, fast.is_fulfilled(requirement))


# Delivery to the extension.
class Extension(threading.Thread):
    """Gives requests the specified answers, and records their bodies."""

    def __init__(self, *answers):
        super().__init__(daemon=True)
        self.answers = list(answers)
        self.bodies = []
        self.connections = 0
        self.goes_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.start()

    def run(self):
        while self.answers:
            connection = self.listener.accept()[0]
            self.connections += 1
            self.serve(connection, connection.makefile("rb"))
            connection.close()

    def serve(self, connection, file):
        while self.answers:
            length = 0
            line = file.readline()
            if not line:
                return
            while line.strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = file.readline()
            self.bodies.append(file.read(length).decode())
            answer = self.answers.pop(0)
            if answer == "closes":
                return file.close()
            if answer == "waits":
                self.goes_on.wait()
                answer = 200
            connection.sendall(f"HTTP/1.1 {answer} X\r\ncontent-length: 2\r\n\r\n{{}}".encode())


def receiver(extension):
    said = []
    return wire.Receiver(extension.listener.getsockname(), said.append), said


def sent(case, answers, flushes, seconds=5):
    extension = Extension(*answers)
    to, said = receiver(extension)
    results = []
    for number in range(flushes):
        to.add("/v1/traces", f"body {number}".encode())
        results.append(to.deliver(time.monotonic() + seconds))
    tell(case, *results, f"bodies {extension.bodies}", f"connections {extension.connections}", *said)


sent("accepted", [200, 200], 2)
sent("has no room at first", [503, 200, 200], 2)
sent("has no room", [503, 200], 1, seconds=0.04)
sent("refused", [400, 200], 2)
sent("closed before the answer", ["closes", 200], 1)
sent("closed twice, then not", ["closes", "closes", 200, 200], 2)

extension = Extension("waits", 200)
to, said = receiver(extension)
to.add("/v1/traces", b"late")
given_up = to.deliver(time.monotonic() + 0.2)
extension.goes_on.set()
to.add("/v1/traces", b"next")
tell("answers late", given_up, to.deliver(time.monotonic() + 5), extension.bodies, len(to.backlog))

closed = socket.create_server(("127.0.0.1", 0))
address = closed.getsockname()
closed.close()
to = wire.Receiver(address, said.append)
wire.MOST_BYTES = 10
for body in (b"first 1", b"second", b"third"):
    to.add("/v1/traces", body)
tell("is not there", to.deliver(time.monotonic() + 5), [each.rpartition(b"\n")[2] for each in to.backlog], *said)
tell("no time", to.deliver(time.monotonic() - 1))

# Encoding of protobuf messages.
for value in ("é", True, False, 0, -1, 1 << 40, 1 << 70, 1.5, b"raw", None, ["a", 1], {"k": {"n": 2}}, "\ud800"):
    tell(repr(value), wire.any_value(value).hex())
context = SimpleNamespace(trace_id=0xAB, span_id=0xCD, trace_state={"k": "v"}, is_remote=True)
event = SimpleNamespace(name="e", timestamp=3, attributes={})
status = SimpleNamespace(description="no", status_code=SimpleNamespace(value=2))
scope = SimpleNamespace(name="s", version="1", attributes=None, schema_url="u")


class Scope(SimpleNamespace):
    __hash__ = object.__hash__


span = SimpleNamespace(
    context=context,
    parent=context,
    name="n",
    kind=SimpleNamespace(value=1),
    start_time=1,
    end_time=2,
    attributes={"a": 1},
    dropped_attributes=1,
    events=[event],
    dropped_events=0,
    links=[SimpleNamespace(context=context, attributes={})],
    dropped_links=300,
    status=status,
    instrumentation_scope=Scope(name="s", version="1", attributes=None, schema_url="u"),
)
resource, said = wire.resource_of({"service.name": "shop"}), []
encoded = wire.encode_spans(resource, [span], said.append)
tell("a span", encoded.hex())
early = SimpleNamespace(**{**vars(span), "name": "early", "start_time": -1})
is_alone = wire.encode_spans(resource, [early, span], said.append) == encoded
tell("beside one of no time", is_alone, wire.encode_spans(resource, [early], said.append), *(text.partition(": ")[0] for text in said))
