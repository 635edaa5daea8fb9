"""Runs invocations with the layer's lambda_otlp_cut_off.py, a fake SDK that only has spans, and a fake extension that records its
requests. The first argument is the module's folder, the second a folder for files. Prints a line for each case."""

import importlib.util
import json
import os
import socket
import sys
import threading
import time
import types


sys.path.append(sys.argv[1])


def module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)
    return sys.modules[name]


class SpanContext:
    def __init__(self, trace_id, span_id, sampled=True):
        self.trace_id, self.span_id = trace_id, span_id
        self.trace_flags = types.SimpleNamespace(sampled=sampled)


class Span:
    def __init__(self, name, context, parent=None, **said):
        self.name, self.context, self.parent = name, context, parent
        for field, value in {"attributes": {}, "start_time": 1, "end_time": None, "status": None, **said}.items():
            setattr(self, field, value)
        for field in ("resource", "events", "links", "kind", "instrumentation_scope"):
            setattr(self, field, said.get(field))

    def get_span_context(self):
        return self.context


class Encoded:
    def __init__(self, spans):
        self.spans = spans

    def SerializeToString(self):
        told = [f"{span.name} {span.status} {dict(span.attributes)} {span.end_time >= span.start_time}" for span in self.spans]
        return json.dumps(told).encode()


class Processor:
    pass


trace = module(
    "opentelemetry.trace",
    Status=lambda code, message: f"{code}: {message}",
    StatusCode=types.SimpleNamespace(ERROR="error"),
)
module("opentelemetry", trace=trace)
for parent in ("exporter", "exporter.otlp", "exporter.otlp.proto", "exporter.otlp.proto.common", "sdk"):
    module(f"opentelemetry.{parent}")
module("opentelemetry.exporter.otlp.proto.common.trace_encoder", encode_spans=Encoded)
module("opentelemetry.sdk.trace", ReadableSpan=Span, SpanProcessor=Processor)

spec = importlib.util.spec_from_file_location("lambda_otlp_cut_off", os.path.join(sys.argv[1], "lambda_otlp_cut_off.py"))
layer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(layer)


class Extension:
    """Records its requests in the order of their arrival."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"):
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.noted = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            text = b""
            while b"\r\n\r\n" not in text:
                text += connection.recv(65536)
            head, body = text.split(b"\r\n\r\n", 1)
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            said = "partial" if b"lambda_otlp.partial" in body else "complete"
            self.noted.append(f"{head.split()[1].decode()} {said} {json.loads(body)}")
            connection.sendall(self.answer)
            connection.close()

    def endpoint(self):
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"


class Context:
    def __init__(self, request_id, left_ms):
        self.aws_request_id = request_id
        self.left_ms = left_ms

    def get_remaining_time_in_millis(self):
        return self.left_ms


class Provider:
    def add_span_processor(self, processor):
        self.processor = processor


FIRST, SECOND = "3da1f2dc-3222-475e-9205-e2e6c6318895", "4ea1f2dc-3222-475e-9205-e2e6c6318896"
SOON, LATE = 50, 3_600_000


def story(extension=None):
    """Returns an extension, a watch, the watch's span processor, and an event that a flush of the ended spans sets."""
    extension = extension or Extension()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = extension.endpoint()
    provider, flushed = Provider(), threading.Event()

    def flush():
        extension.noted.append("flushed")
        flushed.set()

    watch = layer.watch(provider, flush, lambda text: extension.noted.append(text.split(":")[0]))
    return extension, watch, provider.processor, flushed


def begun(processor, name, trace_id, span_id, **said):
    span = Span(name, SpanContext(trace_id, span_id), **said)
    processor.on_start(span)
    return span


def check(form, told):
    print(f"{form}: {told}")


extension, watch, spans, flushed = story()
invocation = watch.begin(Context(FIRST, SOON))
root = begun(spans, "root", 1, 1, start_time=time.time_ns() + 10**12)
ended = begun(spans, "ended", 1, 2)
begun(spans, "open", 1, 3, attributes={"url": "a"})
spans.on_end(ended)
flushed.wait(20)
check("times out", extension.noted)
flushed.clear()
extension.noted.clear()
spans.on_end(root)
watch.end(invocation)
invocation = watch.begin(Context(SECOND, SOON))
begun(spans, "next", 2, 4)
flushed.wait(20)
check("what was left open before is not among the next one's", extension.noted)
watch.end(invocation)

extension, watch, spans, flushed = story()
invocation = watch.begin(Context(FIRST, SOON))
root = begun(spans, "root", 1, 1)
spans.on_end(root)
watch.end(invocation)
watch.begin(Context(SECOND, SOON * 2))
begun(spans, "next", 2, 2)
flushed.wait(20)
check("ends in time", extension.noted)

extension, watch, spans, flushed = story()
watch.begin(Context(FIRST, LATE))
begun(spans, "first", 1, 1)


def second():
    watch.begin(Context(SECOND, SOON))
    begun(spans, "second", 2, 2)
    begun(spans, "below", 2, 3)


threading.Thread(target=second).start()
flushed.wait(20)
check("beside another", extension.noted)

extension, watch, spans, flushed = story()
invocation = watch.begin(Context(FIRST, LATE))
root = begun(spans, "root", 1, 1)
begun(spans, "of a thread", 1, 2)
found = watch.root_of(invocation) is root
watch.end(invocation)
spans.on_end(root)
watch.leave()
check("leaves", [found, watch.root_of(invocation), *extension.noted])

extension, watch, spans, flushed = story()
interval = sys.getswitchinterval()
watch.begin(Context(FIRST, SOON))
begun(spans, "root", 1, 1)
while not flushed.is_set():
    pass
check("computes", extension.noted)
while sys.getswitchinterval() != interval:
    pass

extension, watch, spans, flushed = story(Extension(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"))
watch.begin(Context(FIRST, SOON))
begun(spans, "root", 1, 1)
flushed.wait(20)
check("is refused", [note.split(" [")[0] for note in extension.noted])

extension, watch, spans, flushed = story()
watch.begin(Context(FIRST, SOON))
spans.on_start(Span("root", SpanContext(1, 1, sampled=False)))
flushed.wait(20)
check("is not sampled", extension.noted)

extension, watch, spans, flushed = story()
watch.end(watch.begin(Context(FIRST, 0)))
watch.begin(Context(FIRST, 0))
begun(spans, "root", 1, 1)
flushed.wait(0.2)
check("is told of no deadline", extension.noted)

extension, watch, spans, flushed = story()
invocation = watch.begin(Context(FIRST, LATE))
held, released = threading.Event(), threading.Event()


def hold():
    """Holds the lock, as the watching thread does for moments."""
    with watch.changed:
        held.set()
        released.wait(20)


threading.Thread(target=hold).start()
held.wait(20)
child = os.fork()
if child == 0:
    threading.Thread(target=lambda: time.sleep(5) or os._exit(1), daemon=True).start()
    watch.end(invocation)
    os._exit(0)
check("forks", os.waitpid(child, 0)[1])
released.set()

local = layer.local_receiver
check("elsewhere", [
    local({}),
    local({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:4318"}),
    local({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://backend.example.com:4318"}),
    local({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "console"}),
    local({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:none"}),
    local({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a.b"}),
])
check("here", [
    local({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}),
    local({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:43180/v1/traces"}),
])


def ahead(memory, left):
    os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = memory
    return round((left - layer.Invocation("", left, 0).export_at) * 1000)


check("ms ahead", [ahead(*case) for case in (("128", 60), ("200", 60), ("256", 60), ("10240", 60), ("?", 60), ("128", 0.5))])

place = layer.Records.opened
records = []
layer.Records.opened = lambda own: os.open(os.path.join(sys.argv[2], "records"), os.O_RDWR | os.O_CREAT)
own = layer.Records("127.0.0.1:9001")
for request_id in (FIRST, "with space and far too long to be a request id of Lambda's", "short"):
    own.leave(request_id, SpanContext(0xAB, 0xCD))
with open(os.path.join(sys.argv[2], "records"), "rb") as file:
    text = file.read()
check("records", [text[at : at + 90] for at in range(0, len(text), 90)])
layer.Records.opened = place
precious, link = f"{sys.argv[2]}/precious", f"/tmp/.lambda-otlp-invocations-link-{os.getpid()}"
with open(precious, "w") as file:
    file.write("precious")
os.symlink(precious, link)
layer.Records(f"link:{os.getpid()}").leave(FIRST, SpanContext(1, 1))
os.unlink(link)
with open(precious) as file:
    check("what a link names", file.read())
