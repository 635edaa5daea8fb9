"""The demo's own list of items: one JSON line for each item, written when the item ends."""

import json
import os

from opentelemetry.sdk.trace import SpanProcessor

# The attribute with an item's number.
NUMBER = "demo.number"

_next = 1
_file = None
if path := os.environ.get("DEMO_LEDGER"):
    _file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def continue_at(first):
    """Continues with this number. Each invocation has its own range."""
    global _next
    _next = first


def next_number():
    global _next
    number = _next
    _next = _next + 1
    return number


def started(number):
    """Records the start of a span. Without an end line, it was open at exit, and the backend may miss it."""
    _write({"number": number, "what": "span", "event": "started"})


def ended(number, what, content=None):
    """Records that the item is complete. From then on, the backend must receive it, a span with this content."""
    _write({"number": number, "what": what, "event": "ended", "content": content})


def _write(line):
    # One call for each line, so that a kill cannot cut it and functions can share the file.
    if _file is not None:
        os.write(_file, json.dumps(line).encode() + b"\n")


class EndOfSpans(SpanProcessor):
    """Writes the number of each span when it ends."""

    def on_end(self, span):
        attributes = ", ".join(f"{key}={text(value)}" for key, value in sorted(span.attributes.items()))
        ended(span.attributes[NUMBER], "span", f"{span.name} | {attributes}")


def text(value):
    return str(value).lower() if isinstance(value, bool) else "list" if isinstance(value, tuple) else str(value)
