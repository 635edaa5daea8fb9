"""A function that uses OpenTelemetry's API in every way that test_same_telemetry.py compares. It returns the values that it
observes.
"""

import importlib
import os
import sys

from opentelemetry import baggage, context, metrics, propagate, trace

tracer = trace.get_tracer("shop", "1.2", schema_url="https://example.com/1", attributes={"a": 1})
meter = metrics.get_meter("shop", "1.2", schema_url="https://example.com/1", attributes={"a": 1})
LINK = trace.Link(trace.SpanContext(1, 2, True, trace.TraceFlags(1), trace.TraceState([("a", "b")])), {"of": "link"})
NAN = float("nan")


def spans():
    with tracer.start_as_current_span(
        "own", kind=trace.SpanKind.PRODUCER, links=[LINK], attributes={"list": [1, 2], "map": {"x": [True, None]}}
    ) as span:
        span.add_event("event", {"bytes": b"raw", "none": None}, 7)
        span.set_attributes({f"of many {number}": number for number in range(140)})
        for number in range(130):
            span.add_event(str(number))
    for status in (("ERROR",), (None,), (trace.StatusCode.ERROR, "no"), (trace.Status(trace.StatusCode.OK),)):
        with tracer.start_as_current_span("status") as span:
            span.set_status(*status)
    try:
        with tracer.start_as_current_span("fails"):
            raise KeyError("no")
    except KeyError:
        pass
    span = tracer.start_span("late", start_time=5)
    span.end(6)
    span.set_attribute("after", 1)
    return span.is_recording()


def senders():
    """Returns the names of the headers and the baggage that the function passes on."""
    carrier = {}
    with tracer.start_as_current_span("sends", context=baggage.set_baggage("user", "é")):
        propagate.inject(carrier)
    return sorted(carrier), sorted(baggage.get_all())


def counts():
    for value in (1, 2.5, NAN, float("inf"), -1):
        for add in (COUNTER.add, UP_DOWN.add, HISTOGRAM.record, GAUGE.set):
            add(value, {"of": repr(value)})
    for attributes in (
        None,
        {},
        {"a": 1},
        {"a": 1.0},
        {"a": True},
        {"a": [1]},
        {"a": (1,)},
        {"a": {"b": 1}},
        {1: 2},
        {"": 1},
        "text",
        [("a", 1)],
    ):
        COUNTER.add(1, attributes)
    COUNTER.add(1, {"of": "no span"}, context.Context())
    return [attempted(lambda value=value: COUNTER.add(value)) for value in ("1", None)]


def attempted(action):
    try:
        return action()
    except Exception as error:
        return type(error).__name__


COUNTER = meter.create_counter("counter", "1", "counts")
UP_DOWN = meter.create_up_down_counter("up_down")
HISTOGRAM = meter.create_histogram("histogram", "ms")
GAUGE = meter.create_gauge("gauge")
OF_CALLBACK = meter.create_counter("of_callback")
observed = [0]


def fails(options):
    raise ValueError("no")


def observes(options):
    observed[0] += 1
    OF_CALLBACK.add(1)
    return [
        metrics.Observation(observed[0], {"a": 1}),
        metrics.Observation(4, {"a": 1}),
        metrics.Observation(NAN),
        metrics.Observation(9),
    ]


def flushes(options):
    metrics.get_meter_provider().force_flush()
    return [metrics.Observation(1)]


def generates():
    yielded = []
    while True:
        options = yield yielded
        yielded = [metrics.Observation(3, {"timeout": options is not None})]


def observers():
    meter.create_observable_up_down_counter("observed", [fails, observes])
    meter.create_observable_counter("observed_sum", [observes])
    meter.create_observable_gauge("observed_gauge", [observes, lambda options: None])
    meter.create_observable_gauge("generated", [generates()])


def flushers():
    meter.create_observable_gauge("flushed", [flushes])


def forks():
    """Ends a child process normally within the spans of its parent. Only the child's own span is the child's to export."""
    COUNTER.add(5)
    with tracer.start_as_current_span("forks"):
        child = os.fork()
        if child == 0:
            COUNTER.add(1)
            with tracer.start_as_current_span("of the child"):
                sys.exit(3)
        return os.waitpid(child, 0)[1] >> 8


def bounds():
    for number, advised in enumerate(((), (1, 2.5), (1, "two"), 5, None)):
        meter.create_histogram(f"bounds{number}", explicit_bucket_boundaries_advisory=advised).record(2)


def sdk():
    """Acts as a library that imports the function's SDK late, from a folder added to the path, and adds its own span
    processor."""
    sys.path.append(os.environ["PACKAGES"])
    sdk, export, memory = (
        importlib.import_module(f"opentelemetry.sdk.trace{name}") for name in ("", ".export", ".export.in_memory_span_exporter")
    )
    provider = trace.get_tracer_provider()
    exporter = memory.InMemorySpanExporter()
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    with tracer.start_as_current_span("seen", links=[LINK], attributes={"a": 1}) as span:
        span.add_event("event", {"b": 2})
        is_sdk = isinstance(provider, sdk.TracerProvider), isinstance(span, sdk.Span), '"name": "seen"' in span.to_json()
    provider.force_flush()
    encoder = importlib.import_module("opentelemetry.exporter.otlp.proto.common.trace_encoder")
    encoder.encode_spans(exporter.get_finished_spans())
    return is_sdk, [
        (each.name, each.resource.attributes["service.name"], each.instrumentation_scope.name)
        for each in exporter.get_finished_spans()
    ]


def requests():
    """Calls a web framework with the event's headers, without headers, and with headers of the function itself."""
    framework = importlib.import_module("fastapi.telemetry._asgi")
    own = {}
    with tracer.start_as_current_span("sends"):
        propagate.inject(own)
    return [framework.request(headers) for headers in (HEADERS, {}, own)]


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
    import snapshot_restore_py

    @snapshot_restore_py.register_before_snapshot
    def prime():
        COUNTER.add(5)
        UP_DOWN.add(5)
        spans()


HEADERS = {}


def handler(event, lambda_context):
    HEADERS.update(event.get("headers", {}))
    return {"statusCode": 200, "saw": globals()[event["case"]]() if "case" in event else None}
