"""Calls databases as calls.py does, while the spans of their instrumentations fail: `fault` of an event is the method."""

import contextlib

import calls

# Methods of a span or of a tracer that fail, by the `fault` of an event.
METHODS = {"start": "start_span", "attribute": "set_attribute", "attributes": "set_attributes", "end": "end"}


def fail(*_, **__):
    raise RuntimeError("a fault of the layer")


@contextlib.contextmanager
def failing(fault):
    try:
        from opentelemetry import trace
    except ImportError:
        yield
        return
    tracer = type(trace.get_tracer_provider().get_tracer("a"))
    holder = tracer if fault == "start" else type(trace.get_current_span())
    original = getattr(holder, METHODS[fault])
    setattr(holder, METHODS[fault], fail)
    try:
        yield
    finally:
        setattr(holder, METHODS[fault], original)


def handler(event, context):
    with failing(event["fault"]):
        return calls.handler(event, context)
