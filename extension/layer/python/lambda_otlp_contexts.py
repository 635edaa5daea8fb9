"""Ends the context of an invocation with the invocation.

Threads, pools, event loops and timers that an invocation starts keep its context for the life of the environment. Work in the
context of an ended invocation belongs to the running invocation if exactly one runs. Otherwise it starts a trace of its own, with
a link.
"""

import functools
import os
import weakref

from lambda_otlp_load import attempt, layer_module
from opentelemetry import context as contexts
from opentelemetry import trace

corrections = layer_module("lambda_otlp_corrections")

INVOCATION = contexts.create_key("lambda-otlp-invocation")
# The span of an ended invocation, for the link of a new trace.
ENDED = contexts.create_key("lambda-otlp-ended")

running = []


class Forks:
    """Tells forked processes how many invocations the function's process has ended."""

    def __init__(self):
        # Numbers of invocations.
        self.begun = 0
        self.ended = 0
        # Memory with the number of ended ones, from the first fork on.
        self.shared = None
        self.is_child = False
        os.register_at_fork(before=self.share, after_in_child=self.note_child)

    def share(self):
        if self.shared is None:
            from mmap import mmap

            self.shared = mmap(-1, 8)
            self.write_ended()

    def note_end(self):
        self.ended += 1
        self.write_ended()

    def write_ended(self):
        if self.shared is not None and not self.is_child:
            self.shared[:] = self.ended.to_bytes(8, "little")

    def note_child(self):
        self.is_child = True

    def has_ended(self, number):
        return self.is_child and int.from_bytes(self.shared[:], "little") >= number


class Invocation:
    """A context manager. Its block runs in the context of a new invocation."""

    # `True` if it has ended in this process.
    has_ended = False

    @functools.cached_property
    def open_calls(self):
        """Calls of models, whose spans end with the invocation if the function keeps a response that it never reads."""
        return weakref.WeakSet()

    def __enter__(self):
        forks.begun += 1
        self.number = forks.begun
        self.trace_id = trace.get_current_span().get_span_context().trace_id
        self.context = contexts.set_value(INVOCATION, self)
        self.token = contexts.attach(self.context)
        running.append(self)

    def __exit__(self, *_):
        for call in list(vars(self).get("open_calls", ())):
            attempt(call.end)
        self.has_ended = True
        running.remove(self)
        forks.note_end()
        contexts.detach(self.token)
        # Other contexts may refer to this object for the life of the environment.
        self.context = self.token = None

    @property
    def is_running(self):
        return not self.has_ended and not forks.has_ended(self.number)


forks = Forks()


class RuntimeContext:
    """Replaces the API's runtime context."""

    def __init__(self, inner):
        self.inner = inner
        self.attach = inner.attach
        self.detach = inner.detach

    def get_current(self):
        found = self.inner.get_current()
        invocation = found.get(INVOCATION)
        return found if invocation is None or invocation.is_running else context_after(invocation, found)


def context_after(invocation, context):
    """Returns the context of work that an ended invocation has left in this context."""
    span = trace.get_current_span(context).get_span_context()
    if span.is_valid and span.trace_id != invocation.trace_id:
        # The work has started a trace of its own.
        return context
    invocations = [each for each in list(running) if each.is_running]
    only_context = invocations[0].context if len(invocations) == 1 else None
    # A context may end at any time in another thread.
    if only_context:
        return only_context
    # Work that belongs to no sampled trace stays so.
    return contexts.Context({INVOCATION: invocation, ENDED: span}) if span.trace_flags.sampled else context


class SpanProcessor:
    """Links the first span of a trace to the ended invocation, and corrects spans of OpenTelemetry's SDK."""

    def on_start(self, span, parent_context=None):
        if span.parent is None and (ended := contexts.get_value(ENDED, parent_context)):
            span.add_link(ended)

    def _on_ending(self, span):
        # Only the SDK calls this method. The fast start's spans correct themselves.
        corrections.correct(span)

    def on_end(self, span):
        pass

    def force_flush(self, timeout_millis=30000):
        return True

    def shutdown(self):
        pass


def follow(provider):
    contexts._RUNTIME_CONTEXT = RuntimeContext(contexts._RUNTIME_CONTEXT)
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(SpanProcessor())
