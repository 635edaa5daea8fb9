"""Spans with every field that a span can have."""

from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

LINKED = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_remote=True, trace_flags=TraceFlags(1))


def take(tracer):
    attributes = {
        "order.id": "7",
        "paid": True,
        "items": 3,
        "largest": 2**53 + 1,
        "total": 12.5,
        "tags": ["a", "b"],
        "weights": [1.5, 2.25],
        "unicode": "größe\n\u0000 \U0001f980",
        "empty": "",
    }
    with tracer.start_as_current_span(
        "POST /orders/{id}", kind=SpanKind.SERVER, attributes=attributes, links=[Link(LINKED, {"why": "retry"})]
    ) as root:
        root.add_event("order.received", {"attempt": 1})
        for child in range(3):
            kind = SpanKind.INTERNAL if child % 2 else SpanKind.CLIENT
            with tracer.start_as_current_span(f"reserve-{child}", kind=kind, attributes={"child": child}):
                pass
        root.set_status(Status(StatusCode.ERROR, "db down"))
