"""OpenTelemetry's tracing API without OpenTelemetry's SDK, which takes longer to import. The tracer provider sends spans to the
extension.

It behaves like the SDK with its defaults, and supports the variables in lambda_otlp_fast.py. A function with other variables gets
the SDK.

Source: OpenTelemetry specification 1.60, "Trace SDK" and "SDK environment variables".
"""

import atexit
import functools
import os
import sys
import threading

from lambda_otlp_load import layer_module, time
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager

corrections = layer_module("lambda_otlp_corrections")
public = layer_module("lambda_otlp_packages").public
threads = layer_module("lambda_otlp_threads")

# The SDK's default limits of attributes, events and links.
LIMIT = 128
# The SDK's default number of spans in a request.
BATCH = 512
# Upper limit of a flush, in milliseconds. Locks and sockets accept no infinite timeout.
MAX_FLUSH_MS = 86_400_000
UNSET = Status(StatusCode.UNSET)
# W3C's flag of random trace ids, which older versions of the API do not have.
RANDOM = getattr(trace.TraceFlags, "RANDOM_TRACE_ID", 0)


class Scope:
    """The instrumentation scope of a tracer or a meter. Spans and metrics are grouped by the object, not by its values."""

    __slots__ = ("name", "version", "schema_url", "attributes")

    def __init__(self, name, version=None, schema_url=None, attributes=None):
        self.name = name
        self.version = version
        self.schema_url = schema_url
        self.attributes = attributes


class Event:
    """An event of a span. `timestamp` is its time in nanoseconds since the Unix epoch."""

    __slots__ = ("name", "attributes", "timestamp")

    def __init__(self, name, attributes, timestamp):
        self.name = name
        self.attributes = attributes
        self.timestamp = timestamp


class PartialSpan:
    """A copy of a span that has not ended. lambda_otlp_wire.py encodes it like a `Span`."""

    __slots__ = (
        "name",
        "context",
        "parent",
        "resource",
        "attributes",
        "events",
        "links",
        "kind",
        "status",
        "start_time",
        "end_time",
        "instrumentation_scope",
    )
    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0

    def __init__(self, **fields):
        for name, value in fields.items():
            setattr(self, name, value)


def message_of(exception):
    try:
        return str(exception)
    except Exception:
        # As Python's tracebacks say it.
        return "<exception str() failed>"


class Bounded(list):
    """A list that keeps its last `LIMIT` items."""

    __slots__ = ("dropped",)

    def __init__(self):
        super().__init__()
        # The number of items that are not kept.
        self.dropped = 0

    def append(self, item):
        if len(self) >= LIMIT:
            del self[0]
            self.dropped += 1
        super().append(item)


def sampler_of(name, argument):
    """Returns a function of a span's parent and trace id, which returns `True` if the span is sampled.

    Returns `None` for values of OpenTelemetry's variables that the SDK must handle or reject.
    """
    name = (name or "parentbased_always_on").strip().lower()
    root_name = name.removeprefix("parentbased_")
    is_root_sampled = root_sampler_of(root_name, argument)
    if is_root_sampled is None:
        return None
    if root_name == name:
        return lambda parent, trace_id: is_root_sampled(trace_id)
    return lambda parent, trace_id: bool(parent.trace_flags.sampled) if parent is not None else is_root_sampled(trace_id)


def root_sampler_of(name, argument):
    if name == "always_on":
        return lambda trace_id: True
    if name == "always_off":
        return lambda trace_id: False
    if name != "traceidratio":
        return None
    try:
        ratio = 1.0 if not argument else float(argument)
    except ValueError:
        return None
    if not 0 <= ratio <= 1:
        return None
    bound = round(ratio * (1 << 64))
    return lambda trace_id: trace_id & (1 << 64) - 1 < bound


def only_before_the_end(method):
    """Decorates a method of a span so that it only logs a warning after the span's end."""

    @functools.wraps(method)
    def call_before_the_end(self, *arguments, **named):
        if self.end_time is None:
            method(self, *arguments, **named)
        else:
            warn("%s of a span that has ended", method.__name__)

    return call_before_the_end


def warn(text, *values):
    import logging

    logging.getLogger("opentelemetry.sdk.trace").warning(text, *values)


class Span(trace.Span):
    """A recording span. Its attributes have the names of the SDK's `ReadableSpan`."""

    def __init__(
        self,
        tracer,
        name,
        context,
        parent,
        *,
        kind,
        attributes,
        links,
        start_time,
        record_exception,
        set_status_on_exception,
    ):
        self.provider = tracer.provider
        self.process = tracer.provider.process
        self.instrumentation_scope = tracer.scope
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes = BoundedAttributes(LIMIT, attributes, immutable=False)
        self.events = Bounded()
        self.links = Bounded()
        self.status = UNSET
        self.start_time = time.time_ns() if start_time is None else start_time
        self.end_time = None
        self.records_exception = record_exception
        self.sets_status_on_exception = set_status_on_exception
        for link in links or ():
            if link:
                self.add_link(link.context, link.attributes)

    @property
    def resource(self):
        return self.provider.resource

    @property
    def dropped_attributes(self):
        return self.attributes.dropped

    @property
    def dropped_events(self):
        return self.events.dropped

    @property
    def dropped_links(self):
        return self.links.dropped

    def get_span_context(self):
        return self.context

    def is_recording(self):
        return self.end_time is None

    @only_before_the_end
    def set_attributes(self, attributes):
        for name, value in attributes.items():
            self.attributes[name] = value

    @only_before_the_end
    def set_attribute(self, key, value):
        self.attributes[key] = value

    @only_before_the_end
    def add_event(self, name, attributes=None, timestamp=None):
        time_ns = time.time_ns() if timestamp is None else timestamp
        self.events.append(Event(name, BoundedAttributes(LIMIT, attributes), time_ns))

    @only_before_the_end
    def add_link(self, context, attributes=None):
        if context and (context.is_valid or attributes or context.trace_state):
            self.links.append(trace.Link(context, BoundedAttributes(LIMIT, attributes)))

    @only_before_the_end
    def update_name(self, name):
        self.name = name

    @only_before_the_end
    def set_status(self, status, description=None):
        if isinstance(status, StatusCode):
            status = Status(status, description)
        # OK is final, and UNSET replaces no status.
        if not isinstance(status, Status):
            warn("set_status ignores %r, which is no status", status)
        elif self.status.status_code is not StatusCode.OK and status.status_code is not StatusCode.UNSET:
            self.status = status

    def record_exception(self, exception, attributes=None, timestamp=None, escaped=False):
        frames = layer_module("lambda_otlp_frames")
        described = {
            "exception.type": frames.type_of(exception),
            "exception.message": message_of(exception),
            "exception.stacktrace": frames.text_of(exception),
            "exception.escaped": str(escaped),
            **(attributes or {}),
        }
        self.add_event("exception", described, timestamp)

    def end(self, end_time=None):
        if self.end_time is not None:
            return warn("end of a span that has ended")
        self.change(corrections.changes_at_end(self.attributes, self.instrumentation_scope.name))
        if call := corrections.database_call(self):
            self.name = call.name
            self.change(call.changes)
            for event, attributes in zip(self.events, call.attributes_of_events):
                event.attributes = attributes
            if self.status.description:
                self.status = Status(self.status.status_code, call.message)
        self.end_time = time.time_ns() if end_time is None else end_time
        self.provider.on_end(self)

    def change(self, attributes):
        """Sets attributes of a span that ends. `None` removes an attribute."""
        for name, value in attributes.items():
            if value is not None:
                self.attributes[name] = value
            elif name in self.attributes:
                del self.attributes[name]

    def __exit__(self, kind, error, frames):
        if error is not None and self.is_recording():
            if self.records_exception:
                self.record_exception(error, escaped=True)
            if self.sets_status_on_exception:
                self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {message_of(error)}"))
        super().__exit__(kind, error, frames)

    def to_json(self, indent=4):
        return readable(self).to_json(indent)


def readable(span):
    """Converts a span to the SDK's `ReadableSpan` for the function's own processors and exporters."""
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = span.instrumentation_scope
    secrets = layer_module("lambda_otlp_secrets")
    masked = secrets.masked_attributes
    same = ("name", "context", "parent", "links", "kind", "start_time", "end_time")
    return sdk.ReadableSpan(
        **{name: getattr(span, name) for name in same},
        attributes=masked(span.attributes),
        status=Status(span.status.status_code, secrets.mask(span.status.description or "") or None),
        resource=Resource(span.resource.attributes),
        events=[sdk.Event(event.name, masked(event.attributes), event.timestamp) for event in span.events],
        instrumentation_scope=InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes),
    )


def join_the_sdk():
    """Registers our classes as subclasses of the SDK's. Programs that import the SDK late check this, then add processors."""
    from opentelemetry.sdk import trace as sdk

    sdk.TracerProvider.register(TracerProvider)
    sdk.Span.register(Span)


class Tracer(trace.Tracer):
    def __init__(self, provider, scope):
        self.provider = provider
        self.scope = scope

    def start_span(
        self,
        name,
        context=None,
        kind=trace.SpanKind.INTERNAL,
        attributes=None,
        links=None,
        start_time=None,
        record_exception=True,
        set_status_on_exception=True,
    ):
        parent = trace.get_current_span(context).get_span_context()
        if parent is None or not parent.is_valid:
            parent = None
            trace_id = self.provider.id_generator.generate_trace_id()
            flags = RANDOM
        else:
            trace_id = parent.trace_id
            flags = parent.trace_flags & RANDOM
        is_sampled = self.provider.sampler(parent, trace_id)
        span_context = trace.SpanContext(
            trace_id,
            self.provider.id_generator.generate_span_id(),
            is_remote=False,
            trace_flags=trace.TraceFlags(flags | is_sampled),
            trace_state=None if parent is None else parent.trace_state,
        )
        if not is_sampled:
            return trace.NonRecordingSpan(span_context)
        span = Span(
            self,
            name,
            span_context,
            parent,
            kind=kind,
            attributes=attributes,
            links=links,
            start_time=start_time,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        )
        self.provider.on_start(span, context)
        return span

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name,
        context=None,
        kind=trace.SpanKind.INTERNAL,
        attributes=None,
        links=None,
        start_time=None,
        record_exception=True,
        set_status_on_exception=True,
        end_on_exit=True,
    ):
        span = self.start_span(name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span


def random_id(length):
    """Returns a random id. Environments restored from the same snapshot create different ids."""
    return int.from_bytes(os.urandom(length), "big") or 1


class IdGenerator:
    """Generates ids. lambda_otlp_handler.py and lambda_otlp_executions.py replace the methods, as they do in the SDK's
    generator."""

    def generate_trace_id(self):
        return random_id(16)

    def generate_span_id(self):
        return random_id(8)


class TracerProvider(trace.TracerProvider):
    """Keeps ended spans until a flush, by `force_flush` or by the thread that flushes every `flush_interval` seconds."""

    def __init__(self, *, receiver, encode, resource, sampler, flush_interval, queue_size):
        self.receiver = receiver
        # Encodes spans as a request.
        self.encode = encode
        self.resource = resource
        self.sampler = sampler
        self.id_generator = IdGenerator()
        self.flush_interval = flush_interval
        self.queue_size = queue_size
        self.processors = []
        self.tracers = {}
        # Encodes the function's metrics as a request, if the metrics API is in use.
        self.collect_metrics = None
        # The flush at the end of an invocation.
        self.flush_invocation = self.force_flush
        self.is_child = False
        self.reset()
        self.is_forking = False
        os.register_at_fork(before=self.end_thread, after_in_parent=self.restart_thread, after_in_child=self.begin_in_child)
        atexit.register(self.force_flush, 1000)

    def begin_in_child(self):
        self.is_child = True
        self.is_forking = False
        self.reset()

    def end_thread(self):
        """Ends the thread before a fork, for which Python warns of a process with several threads. A thread that exports goes
        on."""
        self.is_forking = True
        thread = self.thread
        if thread is not None:
            self.wake.set()
            thread.wait_for_end()

    def restart_thread(self):
        self.is_forking = False
        if self.thread is None and self.waiting and threads.may_restart_after_fork():
            self.thread = threads.Background(self.run)

    def reset(self):
        """Sets the state of a new process. A forked one has no thread or connection, and its parent exports the spans."""
        self.process = os.getpid()
        # Number of spans that have begun and not ended. Threads may miscount it.
        self.open = 0
        self.waiting = []
        # Number of spans in requests of which some have no answer yet.
        self.unsent = 0
        self.dropped = 0
        # The lock is reentrant, because a callback of the function's metrics may flush.
        self.lock = threading.RLock()
        self.wake = threading.Event()
        self.thread = None
        self.receiver.reset()

    def get_tracer(self, instrumenting_module_name, instrumenting_library_version=None, schema_url=None, attributes=None):
        key = (public(instrumenting_module_name or ""), instrumenting_library_version, schema_url)
        if attributes:
            return Tracer(self, Scope(*key, attributes))
        if key not in self.tracers:
            self.tracers[key] = Tracer(self, Scope(*key))
        return self.tracers[key]

    def add_span_processor(self, span_processor):
        self.processors.append(span_processor)

    def on_start(self, span, context):
        self.open += 1
        for processor in self.processors:
            processor.on_start(span, parent_context=context)

    def on_end(self, span):
        if span.process != self.process:
            # The span began before a fork. The parent process ends it too, and exports it.
            return
        self.open -= 1
        # The function has its own processors only if it has imported the SDK.
        ended = readable(span) if "opentelemetry.sdk.trace" in sys.modules else span
        for processor in self.processors:
            processor.on_end(ended)
        if len(self.waiting) >= self.queue_size:
            self.dropped += 1
            return
        self.waiting.append(span)
        if self.is_child:
            # A pool's process waits for its next task, and ends with the environment. `with Pool()` terminates it after its task.
            if self.open <= 0:
                self.flush(time.monotonic() + 0.1, only_spans=True)
            if self.waiting or self.unsent:
                self.wake.set()
        if self.thread is None:
            self.thread = threads.Background(self.run)
        elif len(self.waiting) == BATCH:
            self.wake.set()

    def run(self):
        while True:
            self.wake.wait(self.flush_interval)
            self.wake.clear()
            if self.is_forking:
                self.thread = None
                return
            if self.waiting:
                self.flush(time.monotonic() + 1, only_spans=True)

    def force_flush(self, timeout_millis=30000):
        return self.flush(time.monotonic() + min(timeout_millis, MAX_FLUSH_MS) / 1000)

    def flush(self, until, only_spans=False):
        """Sends spans and, unless `only_spans`, metrics. Then the function's own processors flush, too.

        Returns `True` if the extension has answered all requests by this time.
        """
        if not only_spans:
            for processor in self.processors:
                processor.force_flush(max(0, int((until - time.monotonic()) * 1000)))
        if not self.lock.acquire(timeout=max(0, until - time.monotonic())):
            return False
        try:
            self.add_spans()
            if self.collect_metrics is not None and not only_spans:
                if body := self.collect_metrics():
                    self.receiver.add("/v1/metrics", body)
            if self.dropped:
                self.receiver.say(f"dropped {self.dropped} spans: the queue of {self.queue_size} spans is full")
                self.dropped = 0
            is_delivered = self.receiver.deliver(until)
            if is_delivered:
                self.unsent = 0
            return is_delivered
        finally:
            self.lock.release()

    def add_spans(self):
        """Adds requests with the waiting spans to the receiver's backlog."""
        while self.waiting:
            batch = self.waiting[:BATCH]
            if body := self.encode(batch):
                self.receiver.add("/v1/traces", body)
                self.unsent += len(batch)
            del self.waiting[: len(batch)]

    def shutdown(self):
        self.force_flush(1000)
