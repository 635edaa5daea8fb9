"""Handlers keep their result, and the telemetry is flushed before the runtime gets it."""

import contextlib
import gc
import importlib
import os
import sys
import threading
import time
import traceback
import types
import weakref

import pytest
from isolation import isolated, module  # noqa: F401
from local_lambda import packages

noted = []


class Provider:
    """Flushes until the event is set."""

    ended = threading.Event()

    def get_tracer(self, name):
        return self

    def start_span(self, name, context, kind, attributes, links=()):
        noted.append(f"begun {name}")
        return Span(name)

    def force_flush(self, timeout=None):
        self.ended.wait(20)
        noted.append("flushed")
        return True


class Span:
    """Notes what the wrapper adds to a span, and its status, when it ends."""

    breaks = False

    def __init__(self, name):
        self.name = name
        self.status = "ended"
        self.attributes = {}
        self.events = []

    def get_span_context(self):
        return None

    def set_attribute(self, name, value):
        self.attributes[name] = value

    def record_exception(self, error):
        self.events.append("exception")

    def set_status(self, status):
        self.status = f"failed: {status.description}"

    def end(self):
        noted.append(
            " ".join([self.name, self.status, *(f"{name}={value}" for name, value in self.attributes.items()), *self.events])
        )
        if self.breaks:
            raise RuntimeError("no end")


class Suppressed:
    def __enter__(self):
        noted.append("suppressed")

    def __exit__(self, *_):
        pass


class Contexts:
    """Stands in for lambda_otlp_contexts.py."""

    Invocation = contextlib.nullcontext

    def follow(self, provider):
        pass


@pytest.fixture(scope="module")
def layer(isolated):
    sys.path.append(str(packages("opentelemetry-api==1.45.1")))
    layer_module = importlib.import_module("lambda_otlp_load").layer_module
    found = types.SimpleNamespace(provider=Provider(), meters=Provider())
    trace, metrics = (importlib.import_module(f"opentelemetry.{signal}") for signal in ("trace", "metrics"))
    trace.get_tracer_provider = lambda: found.provider
    metrics.get_meter_provider = lambda: found.meters
    module("opentelemetry.instrumentation")
    module("opentelemetry.instrumentation.utils", suppress_instrumentation=Suppressed)
    found.flush = layer_module("lambda_otlp_flush")
    found.sdk = layer_module("lambda_otlp_sdk")
    wrap = layer_module("lambda_otlp_wrap")
    wrap.layer_module = lambda name: Contexts() if name == "lambda_otlp_contexts" else layer_module(name)
    found.wrap_handler = wrap.wrap_handler
    found.CurrentInvocation = wrap.CurrentInvocation
    return found


@pytest.fixture(autouse=True)
def function(layer, monkeypatch):
    """Yields a maker of invocable functions, see `wrapped`."""
    for each in (layer.provider, layer.meters):
        # Without the flush of an earlier handler.
        vars(each).clear()
    Provider.ended.set()
    flushes = []
    background = layer.flush.Background
    monkeypatch.setattr(layer.flush, "Background", lambda run: flushes.append(background(run)) or flushes[-1])

    def wrapped(handler, watch=None, setup=None):
        shop = types.ModuleType("shop")
        shop.handler = handler
        monkeypatch.setitem(sys.modules, "shop", shop)
        layer.wrap_handler(shop, "handler", watch, setup or layer.sdk.Setup())
        # The runtime gets the handler once.
        return shop.handler

    yield wrapped
    Provider.ended.set()
    # A flush that ends later would add its note to those of the next test.
    for flush in flushes:
        flush.join(20)


class Context:
    function_name = "server"
    aws_request_id = "1"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:server"

    def __init__(self, left=5000):
        self.left = left

    def get_remaining_time_in_millis(self):
        return self.left


def invoke(handler, event=None, context=None):
    """Returns what happens, and then the result or the error with the names of its functions."""
    noted.clear()
    try:
        result = handler({} if event is None else event, context or Context())
    except BaseException as error:
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)][2:]
        result = f"{type(error).__name__} {error} in {frames}"
    return [*noted, result]


class Watch:
    def begin(self, context):
        noted.append("watched")
        return context.left and self

    def end(self, invocation):
        noted.append("let go")

    def note_root(self, invocation, root):
        pass

    def export_at_exit(self):
        noted.append("left")


class BrokenWatch:
    def begin(self, context):
        raise RuntimeError("no thread")


def charge(*_):
    noted.append("charged")
    raise ValueError("declined")


def leave(*_):
    noted.append("charged")
    sys.exit(3)


def returns(result, note=None):
    return lambda event, context: noted.append(note) or result if note else result


def countdown(event, context):
    return event["n"] and sys.modules["shop"].handler({"n": event["n"] - 1}, context)


def failed(error_type, message, events=" exception", name="server"):
    return f"{name} failed: {message} error.type={error_type}{events}"


FLUSHED = ["flushed", "flushed"]
DECLINED = "ValueError declined in ['charge']"
EXITED = "SystemExit 3 in ['leave']"
BATCH = {"batchItemFailures": [{"itemIdentifier": "1"}]}
BATCH_FAILED = "server failed: 1 of the batch's messages failed; Lambda delivers them again aws.lambda.batch_item_failures=1 error.type=batch_item_failures"
NO_JOIN = "str.join() takes exactly one argument (2 given)"
NO_PARAMETER = "<lambda>() takes 1 positional argument but 2 were given"
NO_ERROR = {"statusCode": 404, "batchItemFailures": []}
# The handler, and what happens in an invocation.
HANDLERS = {
    "a value": (returns(3), ["server ended", *FLUSHED, 3]),
    "a failure": (charge, ["charged", failed("ValueError", "declined"), *FLUSHED, DECLINED]),
    "a failure in C": (",".join, [failed("TypeError", NO_JOIN), *FLUSHED, f"TypeError {NO_JOIN} in []"]),
    "one parameter": (lambda event: 3, [failed("TypeError", NO_PARAMETER), *FLUSHED, f"TypeError {NO_PARAMETER} in []"]),
    "a status": (
        returns({"statusCode": 502}),
        ["server failed: None http.response.status_code=502 error.type=502", *FLUSHED, {"statusCode": 502}],
    ),
    "a status of the client": (returns(NO_ERROR), ["server ended http.response.status_code=404", *FLUSHED, NO_ERROR]),
    "failed messages": (returns(BATCH), [BATCH_FAILED, *FLUSHED, BATCH]),
    "an exit": (leave, ["charged", failed("SystemExit", "3"), *FLUSHED, EXITED]),
}


@pytest.mark.parametrize("form", HANDLERS)
def test_handlers_keep_their_result_and_are_flushed(function, form):
    handler, expected = HANDLERS[form]
    assert invoke(function(handler)) == ["begun server", *expected]


# The handler, and what happens in an invocation whose deadline is watched.
WATCHED = {
    "a value": (returns(3), ["let go", "server ended", *FLUSHED, 3]),
    "a failure": (charge, ["charged", "let go", failed("ValueError", "declined"), *FLUSHED, DECLINED]),
    "an exit": (leave, ["charged", "let go", failed("SystemExit", "3"), "left", *FLUSHED, EXITED]),
}


@pytest.mark.parametrize("form", WATCHED)
def test_the_watch_ends_before_the_flush(function, form):
    handler, expected = WATCHED[form]
    assert invoke(function(handler, Watch())) == ["watched", "begun server", *expected]


def test_a_failing_watch_changes_no_result(function):
    assert invoke(function(returns(3), BrokenWatch())) == ["begun server", "server ended", *FLUSHED, 3]


QUEUED = {
    "Records": [{"messageId": "1", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders"}]
}


def test_messages_have_a_span_that_fails_with_the_handler(function):
    of_messages = failed("ValueError", "declined", events="", name="orders process")
    expected = [
        "begun server",
        "begun orders process",
        "charged",
        of_messages,
        failed("ValueError", "declined"),
        *FLUSHED,
        DECLINED,
    ]
    assert invoke(function(charge), QUEUED) == expected


@pytest.mark.parametrize("watch", [None, Watch()])
def test_a_handler_that_calls_itself_has_one_span(function, watch):
    before, after = (["watched"], ["let go"]) if watch else ([], [])
    assert invoke(function(countdown, watch), {"n": 3}) == [*before, "begun server", *after, "server ended", *FLUSHED, 0]


class Bare:
    """A context without the values of Lambda's."""

    left = 5000


@pytest.mark.parametrize("watch", [None, Watch()])
def test_an_invocation_without_a_span_reaches_the_handler(function, watch):
    before, after = (["watched"], ["let go"]) if watch else ([], [])
    assert invoke(function(returns(3), watch), {}, Bare()) == [*before, "suppressed", *after, 3]


def test_a_span_that_cannot_end_changes_no_result(function, monkeypatch):
    monkeypatch.setattr(Span, "breaks", True)
    assert invoke(function(returns(3, note="charged"))) == ["begun server", "charged", "server ended", *FLUSHED, 3]


def test_an_exit_is_flushed_by_the_fast_start(function):
    class Tracers:
        def force_flush(self, timeout=30000):
            noted.append(f"flushed within {timeout / 1000:.0f} s")

        def flush(self, until):
            noted.append(f"flushed within {until - time.monotonic():.0f} s")

    class FastStart(importlib.import_module("lambda_otlp_fast").Setup):
        reads_environment = False

        def __init__(self):
            self.tracers = Tracers()

    expected = ["watched", "begun server", "charged", "let go", failed("SystemExit", "3"), "left", "flushed within 1 s", EXITED]
    assert invoke(function(leave, Watch(), FastStart())) == expected


def test_a_result_is_not_kept(function):
    class Result(str):
        pass

    kept = []

    def handler(*_):
        result = Result("3")
        kept.append(weakref.ref(result))
        return result

    assert invoke(function(handler)) == ["begun server", "server ended", *FLUSHED, "3"]
    noted.clear()
    gc.collect()
    assert kept[0]() is None


# The application of a framework such as Chalice: its routes read the application by its global name.
ROUTES = """
class Application:
    def __call__(self, event, context):
        self.request = event
        return route()

application = original = Application()

def route():
    return application.request["is"], application is original
"""


def test_an_application_that_is_the_handler_stays_in_its_module(layer, monkeypatch):
    api = types.ModuleType("api")
    exec(ROUTES, vars(api))
    monkeypatch.setitem(sys.modules, "api", api)
    layer.wrap_handler(api, "application", None, layer.sdk.Setup())
    given = api.application
    assert [given({"is": each}, Context()) for each in ("first", "second")] == [("first", True), ("second", True)]
    assert given is not api.original
    assert api.application is api.original
    assert type(api) is types.ModuleType


def test_the_sdk_gets_a_larger_queue(layer, monkeypatch):
    sizes = []

    class Configurator:
        load = staticmethod(lambda: Configurator)

        def configure(self, **_):
            sizes.append(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE"))

    version = types.ModuleType("opentelemetry.instrumentation.version")
    version.__version__ = "1"
    monkeypatch.setitem(sys.modules, version.__name__, version)
    monkeypatch.setattr(layer.sdk, "chosen_entry_point", lambda *_: Configurator)
    layer.sdk.configure()
    assert sizes[-1] == "16384"
    # The function itself does not see it.
    assert "OTEL_BSP_MAX_QUEUE_SIZE" not in os.environ


@pytest.mark.parametrize(
    ("needed", "is_importable"), [(("opentelemetry.good",), True), (("opentelemetry.good", "opentelemetry.bad"), False)]
)
def test_packages_that_do_not_fit_are_unloaded(layer, monkeypatch, tmp_path, needed, is_importable):
    (tmp_path / "good.py").touch()
    (tmp_path / "bad.py").write_text("import opentelemetry.good.of_another_version")
    monkeypatch.setattr(sys.modules["opentelemetry"], "__path__", [str(tmp_path)], raising=False)
    monkeypatch.setattr(layer.sdk, "NEEDED", needed)
    assert layer.sdk.import_needed() == is_importable
    assert (sys.modules.pop("opentelemetry.good", None) is not None) == is_importable


class Exporter:
    def __init__(self, result):
        self.result = result

    def export(self):
        if self.result is None:
            raise RuntimeError("no collector")
        return types.SimpleNamespace(name=self.result)


def no_export():
    pass


def no_end():
    Provider.ended.wait(20)


ACCEPTED = Exporter("SUCCESS")
REFUSED = Exporter("FAILURE")
UNREACHABLE = Exporter(None)
# Earlier flushes, the function's timeout, and the seconds that the next flush waits.
WAITS = {
    "at first": ([], None, 0.9),
    "after an export": ([ACCEPTED], None, 0.9),
    "after a failed one": ([ACCEPTED, REFUSED], None, 0.01),
    "after nothing to export": ([REFUSED, no_export], None, 0.01),
    "after one that is accepted again": ([REFUSED, ACCEPTED], None, 0.9),
    "after an exception": ([UNREACHABLE], None, 0.01),
    "after an exporter that reports nothing": ([no_export], None, 0.9),
    "after one that does not end": ([no_end], "0.1", 0.01),
    "with a timeout": ([], "2", 1.8),
    "with a timeout in milliseconds": ([], "10000", 9.0),
}


@pytest.mark.parametrize("case", WAITS)
def test_after_a_failed_flush_the_next_ones_wait_for_moments(layer, monkeypatch, case):
    flushes, timeout, expected = WAITS[case]
    if timeout is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", timeout)
    current = layer.CurrentInvocation()
    current.state = "returned"
    current.context = Context()
    bounded = layer.flush.BoundedFlush(current)
    monkeypatch.setattr(Exporter, "export", layer.sdk.with_noted_result(Exporter.export, bounded))
    Provider.ended.clear()
    for each in flushes:
        bounded.flush(each if callable(each) else each.export)
        if each is not no_end:
            # On a busy machine, the flush may end after the wait for it.
            bounded.thread.join(20)
    Provider.ended.set()
    current.forget()
    assert bounded.limits(0).wait_until == expected


# The limit of a flush in seconds, and the milliseconds that the invocation has left.
@pytest.mark.parametrize(("longest", "left"), [(0.05, 5000), (9, 0)])
def test_an_invocation_ends_before_a_slow_flush(layer, function, monkeypatch, longest, left):
    monkeypatch.setattr(layer.flush, "LONGEST_FLUSH", longest)
    Provider.ended.clear()
    handler = function(returns(3))
    for _ in range(2):
        assert invoke(handler, context=Context(left)) == ["begun server", "server ended", 3]
    Provider.ended.set()
