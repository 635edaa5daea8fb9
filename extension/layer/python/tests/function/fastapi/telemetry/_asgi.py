"""Starts a request's span like FastAPI 0.165 in its module of this name, which takes the parent only from the headers."""

from opentelemetry import baggage, propagate, trace

tracer = trace.get_tracer("fastapi")


def request(headers):
    """Returns `True` if the current span is the parent, and the baggage of the headers."""
    current = trace.get_current_span().get_span_context()
    parent = propagate.extract(headers)
    with tracer.start_as_current_span("request", context=parent) as span:
        return span.parent is not None and span.parent.span_id == current.span_id, sorted(baggage.get_all(parent))
