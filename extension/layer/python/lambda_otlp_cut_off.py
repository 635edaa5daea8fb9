"""What is left of an invocation that is cut off, by its timeout or with its process.

Shortly before the deadline a thread exports what has ended, and the spans that are open, as partial ones: errors that end when they
are exported. Where one ends after all, it is exported as ever, and takes the place of its partial version.

Of an invocation that leaves no time for that, the record of its root in `/tmp` is left: the extension writes that span in the
function's place, so that what has been exported before is below it.

Source: docs/line-format.md, `partial`; the record is `crates/wire/src/invocation_record.rs`.
"""

import os
import socket
import stat
import sys
import threading
import time

from opentelemetry import trace

# What an export before the deadline needs at most, in seconds: 3 ms of a whole processor, 10 ms where the function computes beside
# it, of which a function of 256 MB has a seventh. One with less memory gets up to twice the time.
RESERVE = 0.1
ENOUGH_MEMORY = 256
# And never more than this part of an invocation's time.
MOST_OF_BUDGET = 0.1
# So many open spans are known at most: of more, those that began first are exported.
MOST_OPEN = 1024
# How long a thread of the function may keep the interpreter while the export waits for it, which it does at each step: with Python's
# own bound, ten times as long, an export takes 31 ms instead of 10 beside a thread that computes.
SWITCH_INTERVAL = 0.0005

ERROR_TYPE = "timeout"
MESSAGE = "the invocation was about to time out"
LEFT = "the process ended before this span did"


class Invocation:
    """One that runs. Its root is the first span that begins in its thread."""

    __slots__ = ("request_id", "root", "export_at")

    def __init__(self, request_id, deadline, now):
        self.request_id = request_id
        self.root = None
        self.export_at = deadline - min(reserve(), (deadline - now) * MOST_OF_BUDGET)


def reserve():
    try:
        memory = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
    except (KeyError, ValueError):
        return RESERVE
    return RESERVE * min(2, max(1, ENOUGH_MEMORY / memory))


class Sdk:
    """The spans of OpenTelemetry's SDK: how one is made as it is now, and a request of them."""

    receiver = None

    @staticmethod
    def snapshot(**fields):
        from opentelemetry.sdk.trace import ReadableSpan

        return ReadableSpan(**fields)

    @staticmethod
    def encode(spans):
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        return encode_spans(spans).SerializeToString()


def watch(provider, flush, say, kind=Sdk):
    """Watches the invocations whose spans this provider makes; `None` where they are not exported to the extension.

    `flush` exports what has ended, `say` says what went wrong.
    """
    receiver = kind.receiver or local_receiver(os.environ)
    if receiver is None or not hasattr(provider, "add_span_processor"):
        return None
    open_spans = OpenSpans(Records(os.environ.get("AWS_LAMBDA_RUNTIME_API")), kind)
    provider.add_span_processor(open_spans)

    def export_open(due, message):
        try:
            if spans := open_spans.partial_of(due, time.time_ns(), message):
                post(receiver, kind.encode(spans))
        except Exception as error:
            say(f"cannot write the open spans before the timeout: {error!r}")

    def export(due):
        export_open(due, MESSAGE)
        flush()

    return Watch(open_spans, export, lambda: export_open([], LEFT))


def local_receiver(environ):
    """Host and port of the extension, if spans are exported there: what goes elsewhere it could not tell from what is complete."""
    exporters = environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    if not any(name.strip().startswith("otlp") for name in exporters):
        return None
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    return parts.hostname, port or 80


def post(receiver, body):
    """With as few steps as possible: at each a thread that computes has the interpreter for a while."""
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: {receiver[0]}\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(body)}\r\nlambda-otlp-partial: true\r\n\r\n"
    )
    with socket.create_connection(receiver, timeout=1) as connection:
        connection.sendall(head.encode() + body)
        answer = connection.recv(64)
    if answer[9:12] != b"200":
        raise ConnectionError(f"the extension answers {answer[:40]!r}")


class OpenSpans:
    """The spans that have begun and not ended. A dictionary that threads change at the same time stays whole: none waits here."""

    def __init__(self, records, kind=Sdk):
        self.records = records
        self.kind = kind
        self.open = {}
        self.running = []
        self.thread = threading.local()

    def begin(self, invocation):
        if not self.running:
            # What an earlier invocation never ended is none of this one's.
            self.open.clear()
        self.running.append(invocation)
        self.thread.invocation = invocation

    def end(self, invocation):
        self.thread.invocation = None
        if invocation in self.running:
            self.running.remove(invocation)

    def on_start(self, span, parent_context=None):
        context = span.get_span_context()
        if not context.trace_flags.sampled:
            return
        if len(self.open) < MOST_OPEN:
            self.open[context.span_id] = span
        invocation = getattr(self.thread, "invocation", None)
        if invocation is not None and invocation.root is None:
            invocation.root = context
            self.records.leave(invocation.request_id, context)

    def _on_ending(self, span):
        pass

    def on_end(self, span):
        self.open.pop(span.get_span_context().span_id, None)

    def force_flush(self, timeout_millis=30000):
        return True

    def shutdown(self):
        pass

    def partial_of(self, due, now, message):
        """The open spans of these invocations, as they are now. Where none runs any more, those that the last one left open."""
        roots = [invocation.root for invocation in due if invocation.root is not None]
        spans = [span for span in list(self.open.values()) if self.is_of(span, due, roots)]
        return [partial(self.kind, span, span.get_span_context() in roots, now, message) for span in spans]

    def is_of(self, span, due, roots):
        # Where no other invocation runs, also what began in a thread of its own, in a trace of its own.
        is_alone = all(invocation in due for invocation in list(self.running))
        return is_alone or any(span.get_span_context().trace_id == root.trace_id for root in roots)


def partial(kind, span, is_root, now, message):
    attributes = dict(span.attributes)
    if is_root:
        attributes["error.type"] = ERROR_TYPE
    attributes["lambda_otlp.partial"] = True
    return kind.snapshot(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=trace.Status(trace.StatusCode.ERROR, message),
        start_time=span.start_time,
        end_time=max(now, span.start_time),
        instrumentation_scope=span.instrumentation_scope,
    )


class Watch:
    """Exports by a thread of its own, which the first invocation starts and which waits between them.

    It looks at the clock whenever it wakes, since its timer stands still while the environment is frozen.
    """

    def __init__(self, open_spans, export, leave):
        self.open_spans = open_spans
        self.export = export
        # The process ends by itself, when the handler has ended: what its threads have open is exported.
        self.leave = leave
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self):
        """A process that the function forks has no such thread, which may have had the lock just then."""
        self.changed = threading.Condition()
        self.armed = []
        self.is_running = False
        self.wakes_at = None

    def begin(self, context):
        """Watches an invocation until its end."""
        now = time.time()
        left = context.get_remaining_time_in_millis() / 1000
        invocation = Invocation(context.aws_request_id, now + left, now)
        self.open_spans.begin(invocation)
        if left <= 0:
            # Who tells no time tells of no deadline.
            return invocation
        with self.changed:
            self.armed.append(invocation)
            if not self.is_running:
                self.is_running = True
                threading.Thread(target=self.run, name="lambda-otlp-deadline", daemon=True).start()
            elif self.wakes_at is None or self.wakes_at > invocation.export_at:
                self.changed.notify()
        return invocation

    def end(self, invocation):
        # The thread is not woken: when it wakes by itself it finds nothing to do.
        with self.changed:
            if invocation in self.armed:
                self.armed.remove(invocation)
        self.open_spans.end(invocation)

    def root_of(self, invocation):
        """The span of the invocation, while it is open."""
        return invocation.root and self.open_spans.open.get(invocation.root.span_id)

    def run(self):
        while True:
            with self.changed:
                self.wait()
                due = [invocation for invocation in self.armed if invocation.export_at <= time.time()]
                self.armed = [invocation for invocation in self.armed if invocation not in due]
            if due:
                self.export_quickly(due)

    def wait(self):
        earliest = min((invocation.export_at for invocation in self.armed), default=None)
        left = None if earliest is None else earliest - time.time()
        if left is None or left > 0:
            self.wakes_at = earliest
            self.changed.wait(left)

    def export_quickly(self, due):
        interval = sys.getswitchinterval()
        sys.setswitchinterval(min(interval, SWITCH_INTERVAL))
        try:
            self.export(due)
        except Exception:
            # What cannot be exported here has been said, or is exported at the invocation's end.
            pass
        finally:
            sys.setswitchinterval(interval)


class Records:
    """Says which span is the root of an invocation. Nothing here waits, and what fails costs only the record."""

    SLOTS = 64
    BYTES = 90

    def __init__(self, runtime_api):
        self.runtime_api = runtime_api
        self.file = None
        self.number = 0

    def leave(self, request_id, root):
        if self.runtime_api is None:
            return
        try:
            # The last byte says that the span is in no line yet.
            record = f"v1 {request_id:<36} {root.trace_id:032x} {root.span_id:016x}\r".encode()
            if len(record) == self.BYTES:
                if self.file is None:
                    self.file = self.opened()
                os.pwrite(self.file, record, self.number % self.SLOTS * self.BYTES)
                self.number += 1
        except Exception:
            self.runtime_api = None

    def opened(self):
        name = "".join(each if each.isascii() and each.isalnum() or each == "." else "-" for each in self.runtime_api[:100])
        # What else may be in its place is left alone: a pipe would have to be waited for, and what a link names is somebody else's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
        file = os.open(f"/tmp/.lambda-otlp-invocations-{name}", flags, 0o666)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError("not a file")
        return file
