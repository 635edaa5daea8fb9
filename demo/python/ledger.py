"""The demo's own record of what was made: one JSON line an item, written when the item ends."""

import json
import os

from opentelemetry.sdk.trace import SpanProcessor

# The attribute that carries an item's number.
NUMBER = "demo.number"

_next = 1
_file = None
if path := os.environ.get("DEMO_LEDGER"):
    _file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def continue_at(first):
    """Counts on from here: the demo gives each invocation a range of its own."""
    global _next
    _next = first


def next_number():
    global _next
    number, _next = _next, _next + 1
    return number


def started(number, name):
    """A span that has only this line was still open when the process ended: it is not owed."""
    _write({"number": number, "what": "span", "event": "started", "name": name})


def ended(number, what, name):
    """The item is complete: from now on it is owed."""
    _write({"number": number, "what": what, "event": "ended", "name": name})


def _write(line):
    # One write a line, so that a kill leaves no half of one, and functions may share the file.
    if _file is not None:
        os.write(_file, json.dumps(line).encode() + b"\n")


class EndOfSpans(SpanProcessor):
    """Writes the number of each span when it ends."""

    def on_end(self, span):
        ended(span.attributes[NUMBER], "span", span.name)
