"""The open spans of an invocation that is about to time out are exported as partial spans."""

import importlib
import json
import os
import re
import socket
import sys
import threading
import time
import types

import pytest
from isolation import isolated, module  # noqa: F401


class SpanContext:
    def __init__(self, trace_id, span_id, sampled=True):
        self.trace_id = trace_id
        self.span_id = span_id
        self.trace_flags = types.SimpleNamespace(sampled=sampled)


class Span:
    def __init__(self, name, context, parent=None, **said):
        self.name = name
        self.context = context
        self.parent = parent
        for field, value in {"attributes": {}, "start_time": 1, "end_time": None, "status": None, **said}.items():
            setattr(self, field, value)
        for field in ("resource", "events", "links", "kind"):
            setattr(self, field, said.get(field))
        self.instrumentation_scope = said.get("instrumentation_scope") or types.SimpleNamespace(name="shop")

    def get_span_context(self):
        return self.context


class Encoded:
    """Encodes spans as JSON, and rejects spans that end before their start."""

    def __init__(self, spans):
        self.spans = [[span.name, span.status, dict(span.attributes)] for span in spans if span.end_time >= span.start_time]

    def SerializeToString(self):
        return json.dumps(self.spans).encode()


@pytest.fixture(scope="module")
def layer(isolated):
    status = {"Status": lambda code, message: message, "StatusCode": types.SimpleNamespace(ERROR="error")}
    module("opentelemetry", trace=module("opentelemetry.trace", **status))
    for parent in ("exporter", "exporter.otlp", "exporter.otlp.proto", "exporter.otlp.proto.common", "sdk"):
        module(f"opentelemetry.{parent}")
    module("opentelemetry.exporter.otlp.proto.common.trace_encoder", encode_spans=Encoded)
    module("opentelemetry.sdk.trace", ReadableSpan=Span, SpanProcessor=type("SpanProcessor", (), {}))
    return importlib.import_module("lambda_otlp_cut_off")


def sdk():
    return importlib.import_module("lambda_otlp_sdk")


class Extension:
    """Records its requests in the order of their arrival."""

    def __init__(self, answer="200 OK"):
        self.answer = f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n".encode()
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
            assert head.split()[1] == b"/v1/traces"
            self.noted.append(json.loads(body))
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


class Environment:
    """Watches invocations. `noted` has the exported spans, the flushes of ended spans, and messages."""

    def __init__(self, layer, monkeypatch, extension=None):
        extension = extension or Extension()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", extension.endpoint())
        self.noted = extension.noted
        self.flushed = threading.Event()
        self.watch = layer.watch(
            self,
            self.flush,
            lambda text: self.noted.append(text.split(":")[0]),
            sdk().Setup(),
        )

    def add_span_processor(self, processor):
        self.spans = processor

    def flush(self):
        self.noted.append("flushed")
        self.flushed.set()

    def begin(self, request_id, left_ms):
        return self.watch.begin(Context(request_id, left_ms))

    def start(self, name, trace_id, span_id, sampled=True, **said):
        span = Span(name, SpanContext(trace_id, span_id, sampled), **said)
        self.spans.on_start(span)
        return span


@pytest.fixture
def environment(layer, monkeypatch):
    return Environment(layer, monkeypatch)


FIRST = "3da1f2dc-3222-475e-9205-e2e6c6318895"
SECOND = "4ea1f2dc-3222-475e-9205-e2e6c6318896"
SOON = 50
LATE = 3_600_000


def partial(name, message="the invocation was about to time out", **attributes):
    return [name, message, {**attributes, "lambda_otlp.partial": True}]


def root(name):
    return partial(name, **{"error.type": "timeout"})


def test_open_spans_are_exported_before_the_timeout_and_then_the_others_are_flushed(environment):
    invocation = environment.begin(FIRST, SOON)
    first = environment.start("root", 1, 1, start_time=time.time_ns() + 10**12)
    ended = environment.start("ended", 1, 2)
    environment.start("open", 1, 3, attributes={"url": "a"})
    environment.spans.on_end(ended)
    environment.flushed.wait(20)
    assert environment.noted == [[root("root"), partial("open", url="a")], "flushed"]
    environment.flushed.clear()
    environment.noted.clear()
    environment.spans.on_end(first)
    environment.watch.end(invocation)
    # The spans that were left open are not the next invocation's.
    environment.begin(SECOND, SOON)
    environment.start("next", 2, 4)
    environment.flushed.wait(20)
    assert environment.noted == [[root("next")], "flushed"]


def test_a_handler_that_ends_after_its_deadline_has_timed_out(environment):
    invocation = environment.begin(FIRST, SOON)
    assert not invocation.has_timed_out(invocation.deadline), "nothing was exported"
    environment.flushed.wait(20)
    assert [invocation.has_timed_out(invocation.deadline + past) for past in (-1, 1)] == [False, True]


def test_an_invocation_that_ends_in_time_exports_nothing(environment):
    invocation = environment.begin(FIRST, SOON)
    environment.spans.on_end(environment.start("root", 1, 1))
    environment.watch.end(invocation)
    environment.begin(SECOND, SOON * 2)
    environment.start("next", 2, 2)
    environment.flushed.wait(20)
    assert environment.noted == [[root("next")], "flushed"]


def test_spans_of_a_concurrent_invocation_are_not_exported(environment):
    environment.begin(FIRST, LATE)
    environment.start("first", 1, 1)

    def second():
        environment.begin(SECOND, SOON)
        environment.start("second", 2, 2)
        environment.start("below", 2, 3)

    threading.Thread(target=second).start()
    environment.flushed.wait(20)
    assert environment.noted == [[root("second"), partial("below")], "flushed"]


def test_a_process_that_exits_exports_open_spans(environment):
    invocation = environment.begin(FIRST, LATE)
    first = environment.start("root", 1, 1)
    environment.start("of a thread", 1, 2)
    environment.watch.end(invocation)
    environment.spans.on_end(first)
    environment.watch.export_at_exit()
    assert environment.noted == [[partial("of a thread", "the process exited before the span ended")]]


def test_the_export_runs_beside_a_computing_function(environment):
    interval = sys.getswitchinterval()
    environment.begin(FIRST, SOON)
    environment.start("root", 1, 1)
    while not environment.flushed.is_set():
        pass
    assert environment.noted == [[root("root")], "flushed"]
    while sys.getswitchinterval() != interval:
        pass


def test_a_refused_export_is_reported_and_the_other_spans_are_flushed(layer, monkeypatch):
    environment = Environment(layer, monkeypatch, Extension("503 Service Unavailable"))
    environment.begin(FIRST, SOON)
    environment.start("root", 1, 1)
    environment.flushed.wait(20)
    assert environment.noted == [[root("root")], "cannot export the open spans", "flushed"]


def test_open_spans_of_an_unsampled_invocation_are_not_exported(environment):
    environment.begin(FIRST, SOON)
    environment.start("root", 1, 1, sampled=False)
    environment.flushed.wait(20)
    assert environment.noted == ["flushed"]


def test_nothing_is_exported_without_a_deadline(environment):
    environment.watch.end(environment.begin(FIRST, 0))
    environment.begin(FIRST, 0)
    environment.start("root", 1, 1)
    environment.flushed.wait(0.2)
    assert environment.noted == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_an_invocation_ends_in_a_forked_process(environment):
    invocation = environment.begin(FIRST, LATE)
    held = threading.Event()
    released = threading.Event()

    def hold():
        """Holds the lock, as the watching thread does for moments."""
        with environment.watch.changed:
            held.set()
            released.wait(20)

    threading.Thread(target=hold).start()
    held.wait(20)
    child = os.fork()
    if child == 0:
        threading.Thread(target=lambda: time.sleep(5) or os._exit(1), daemon=True).start()
        environment.watch.end(invocation)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    released.set()


# The variables, and the address of the extension if the function exports to it.
RECEIVERS = [
    ({}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:4318"}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://backend.example.com:4318"}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "console"}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:none"}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a.b"}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, ("127.0.0.1", 4318)),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:43180/v1/traces"}, ("localhost", 43180)),
]


@pytest.mark.parametrize(("variables", "expected"), RECEIVERS)
def test_open_spans_are_exported_only_to_the_extension(layer, variables, expected):
    assert sdk().local_receiver(variables) == expected


# The function's memory, the seconds left, and the milliseconds between the export and the deadline.
RESERVES = [("128", 60, 200), ("200", 60, 128), ("256", 60, 100), ("10240", 60, 100), ("?", 60, 100), ("128", 0.5, 50)]


@pytest.mark.parametrize(("memory", "left", "expected"), RESERVES)
def test_small_functions_export_earlier(layer, monkeypatch, memory, left, expected):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)
    assert round((left - layer.Invocation("", left, 0).export_at) * 1000) == expected


def test_a_record_names_the_root_span_of_an_invocation(layer, monkeypatch, tmp_path):
    place = tmp_path / "records"
    monkeypatch.setattr(layer.Records, "open", lambda own: os.open(place, os.O_RDWR | os.O_CREAT))
    own = layer.Records("127.0.0.1:9001")
    for request_id in (FIRST, "with space and far too long to be a request id of Lambda's", "short"):
        own.record(request_id, SpanContext(0xAB, 0xCD))
    ids = f"{0xAB:032x} {0xCD:016x}"
    assert place.read_bytes() == f"v1 {FIRST} {ids}\rv1 {'short':36} {ids}\r".encode()


def test_a_managed_instance_keeps_the_records_of_1600_invocations_at_a_time(layer, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")
    place = tmp_path / "records"
    monkeypatch.setattr(layer.Records, "open", lambda own: os.open(place, os.O_RDWR | os.O_CREAT))
    own = layer.Records("127.0.0.1:9001")
    for number in range(1600):
        own.record(f"r-{number}", SpanContext(0xAB, 0xCD))
    assert len(set(re.findall(rb"v1 r-\d+ ", place.read_bytes()))) == 1600


@pytest.mark.parametrize(
    ("kind", "level", "is_sampled", "expected"),
    [
        ("on-demand", "INFO", True, ""),
        ("lambda-managed-instances", "INFO", False, ""),
        ("lambda-managed-instances", "INFO", True, "}"),
        ("lambda-managed-instances", "warn", True, ',"timestamp":"TIME","level":"WARN"}'),
    ],
)
def test_a_managed_instance_prints_the_root_line_of_each_sampled_invocation(
    layer, monkeypatch, capfd, kind, level, is_sampled, expected
):
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", level)
    layer.Records(None).announce(FIRST, SpanContext(0xAB, 0xCD, is_sampled))
    printed = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", capfd.readouterr().out)
    line = f'{{"_root":"{FIRST} {0xAB:032x} {0xCD:016x}"'
    assert printed == (f"{line}{expected}\n" if expected else "")


def test_a_link_in_place_of_the_records_is_not_followed(layer, tmp_path):
    precious = tmp_path / "precious"
    link = f"/tmp/.lambda-otlp-invocations-link-{os.getpid()}"
    precious.write_text("precious")
    os.symlink(precious, link)
    try:
        layer.Records(f"link:{os.getpid()}").record(FIRST, SpanContext(1, 1))
    finally:
        os.unlink(link)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("left_ms", [1.7e18, 10**30, float("inf"), float("nan")])
def test_a_deadline_that_no_timer_can_reach_disturbs_no_other_invocation(environment, left_ms):
    first = environment.begin(FIRST, left_ms)
    environment.start("first", 1, 1)
    # A thread would begin to wait.
    time.sleep(0.05)
    environment.begin(SECOND, SOON)
    environment.start("second", 2, 2)
    assert environment.flushed.wait(20)
    assert environment.noted == [[root("second")], "flushed"]
    environment.watch.end(first)
