"""Preserves the spans of an invocation that is cut short by a timeout or the exit of its process.

Shortly before the deadline, a thread exports the ended spans, and the open ones as partial spans. A partial span has the status
ERROR and ends at the time of its export. If the span ends normally later, it is exported again, complete.

Some invocations leave no time for this export. For these, the extension reads the record of the root span in `/tmp` and writes
that span itself, so that the spans exported before keep their parent.

Source of the record: `crates/wire/src/invocation_record.rs`.
"""

import os
import stat
import sys
import threading

from lambda_otlp_load import layer_module, time
from opentelemetry import trace

corrections = layer_module("lambda_otlp_corrections")
wire = layer_module("lambda_otlp_wire")
threads = layer_module("lambda_otlp_threads")

# Upper limit of a remaining time, in seconds. `Condition.wait` raises an error for a much longer one, which would end the thread.
MAX_SECONDS = 366 * 86400

# Time reserved for the export before the deadline, in seconds. The export needs 3 ms of a full processor, or 10 ms if the
# function computes at the same time. A function with 256 MB has a seventh of a processor. Smaller functions reserve up to twice
# the time.
RESERVE = 0.1
ENOUGH_MEMORY = 256
# Upper limit of the reserved time, as a share of the invocation's remaining time.
MAX_OF_BUDGET = 0.1
# Maximum number of tracked open spans. Spans that start beyond it are not tracked.
MAX_OPEN = 1024
# Python's switch interval during an export, in seconds. At each step, the export may wait this long until a thread of the
# function releases the interpreter. With Python's default, ten times as long, an export takes 31 ms in place of 10 while
# another thread computes.
SWITCH_INTERVAL = 0.0005

ERROR_TYPE = "timeout"
ABOUT_TO_TIME_OUT = "the invocation was about to time out"
EXITED = "the process exited before the span ended"


class Invocation:
    """A running invocation. Its root is the first sampled span that starts in its thread."""

    __slots__ = ("request_id", "root", "export_at", "deadline", "is_cut_off")

    def __init__(self, request_id, deadline, now):
        self.request_id = request_id
        self.root = None
        self.deadline = deadline
        self.is_cut_off = False
        self.export_at = deadline - min(reserve(), (deadline - now) * MAX_OF_BUDGET)

    def has_timed_out(self, now):
        """Returns `True` if the handler has run past its deadline, as only one on a managed instance can."""
        return self.is_cut_off and now >= self.deadline


def reserve():
    try:
        memory = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
    except (KeyError, ValueError):
        return RESERVE
    return RESERVE * min(2, max(1, ENOUGH_MEMORY / memory))


def watch(provider, flush, say, setup):
    """Watches invocations with spans of this provider. Returns `None` if spans are not exported to the extension.

    `flush` exports ended spans, `say` logs errors, and `setup` makes and encodes partial spans.
    """
    receiver_address = setup.receiver_address
    if receiver_address is None or not hasattr(provider, "add_span_processor"):
        return None
    open_spans = OpenSpans(Records(os.environ.get("AWS_LAMBDA_RUNTIME_API")), setup.partial_span)
    provider.add_span_processor(open_spans)

    def export_open(invocations, message):
        try:
            if spans := open_spans.partial_of(invocations, time.time_ns(), message):
                post(receiver_address, setup.encode(spans))
        except Exception as error:
            say(f"cannot export the open spans: {error!r}")

    def export_before_timeout(invocations):
        export_open(invocations, ABOUT_TO_TIME_OUT)
        flush()

    return Watch(open_spans, export_before_timeout, lambda: export_open([], EXITED))


def post(receiver, body):
    """Sends a request in as few steps as possible, because a computing thread can take the interpreter at each step."""
    host, _ = receiver
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    connection = wire.connect(receiver, 1)
    try:
        connection.sendall(head.encode() + body)
        answer = connection.recv(64)
    finally:
        connection.close()
    if answer[9:12] != b"200":
        raise ConnectionError(f"the extension answered {answer[:40]!r}")


class OpenSpans:
    """A span processor that tracks open spans.

    Concurrent changes do not corrupt a dictionary, so no thread waits for a lock here.
    """

    def __init__(self, records, partial_span):
        self.records = records
        # Makes a partial span.
        self.partial_span = partial_span
        # The open spans by their ids.
        self.open = {}
        # The running invocations, and the one of each thread.
        self.running = []
        self.thread = threading.local()

    def begin(self, invocation):
        if not self.running:
            # Spans that earlier invocations left open do not belong to this one.
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
        if len(self.open) < MAX_OPEN:
            self.open[context.span_id] = span
        invocation = getattr(self.thread, "invocation", None)
        if invocation is not None and invocation.root is None:
            invocation.root = context
            self.records.announce(invocation.request_id, context)

    def _on_ending(self, span):
        pass

    def on_end(self, span):
        self.open.pop(span.get_span_context().span_id, None)

    def force_flush(self, timeout_millis=30000):
        return True

    def shutdown(self):
        pass

    def partial_of(self, invocations, now, message):
        """Returns the open spans of these invocations as partial spans, or all open spans if no other invocation is running."""
        roots = [invocation.root for invocation in invocations if invocation.root is not None]
        spans = [span for span in list(self.open.values()) if self.is_of(span, invocations, roots)]
        return [self.partial(span, now, message, is_root=span.get_span_context() in roots) for span in spans]

    def is_of(self, span, invocations, roots):
        # If no other invocation is running, spans in other threads and traces belong to these invocations too.
        are_alone = all(running in invocations for running in list(self.running))
        return are_alone or any(span.get_span_context().trace_id == root.trace_id for root in roots)

    def partial(self, span, now, message, *, is_root):
        call = corrections.database_call(span)
        return self.partial_span(
            name=call.name if call else span.name,
            context=span.get_span_context(),
            parent=span.parent,
            resource=span.resource,
            attributes=attributes_of_partial(span, call, is_root),
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=trace.Status(trace.StatusCode.ERROR, message),
            start_time=span.start_time,
            end_time=max(now, span.start_time),
            instrumentation_scope=span.instrumentation_scope,
        )


def attributes_of_partial(span, call, is_root):
    attributes = {**span.attributes, **corrections.changes_at_end(span.attributes, span.instrumentation_scope.name)}
    if call:
        attributes.update(call.changes)
    attributes = {key: value for key, value in attributes.items() if value is not None}
    if is_root:
        attributes["error.type"] = ERROR_TYPE
    attributes["lambda_otlp.partial"] = True
    return layer_module("lambda_otlp_secrets").masked_attributes(attributes)


class Watch:
    """Exports in a background thread, which the first invocation starts and which sleeps between deadlines.

    The thread checks the clock at each wake-up, because its timer stops while the environment is frozen.
    """

    def __init__(self, open_spans, export_before_timeout, export_at_exit):
        self.open_spans = open_spans
        self.export_before_timeout = export_before_timeout
        # Exports open spans if the process exits by itself. The handler has ended by then, but its threads may have open spans.
        self.export_at_exit = export_at_exit
        self.reset()
        os.register_at_fork(before=self.end_thread, after_in_parent=self.restart_thread, after_in_child=self.reset)

    def reset(self):
        """Sets the state of a new process. A forked one lacks the background thread, which may have held the lock.

        The parent process exports the spans that are open at a fork.
        """
        self.open_spans.open.clear()
        self.changed = threading.Condition()
        # The invocations whose export is still to come.
        self.watched = []
        self.is_forking = False
        self.thread = None
        # The time at which the wait of the thread ends.
        self.wakes_at = None

    def end_thread(self):
        """Ends the thread before a fork, for which Python warns of a process with several threads. A thread that exports goes
        on."""
        with self.changed:
            self.is_forking = True
            self.changed.notify()
            thread = self.thread
        if thread is not None:
            thread.wait_for_end()

    def restart_thread(self):
        with self.changed:
            self.is_forking = False
            if self.thread is None and self.watched and threads.may_restart_after_fork():
                self.thread = threads.Background(self.run)

    def begin(self, context):
        """Starts watching an invocation."""
        now = time.time()
        remaining = context.get_remaining_time_in_millis() / 1000
        invocation = Invocation(context.aws_request_id, now + remaining, now)
        self.open_spans.begin(invocation)
        if not 0 < remaining < MAX_SECONDS:
            # A runtime client that reports no remaining time reports no deadline, and no invocation lasts this long.
            return invocation
        with self.changed:
            self.watched.append(invocation)
            if self.thread is None:
                self.thread = threads.Background(self.run)
            elif self.wakes_at is None or self.wakes_at > invocation.export_at:
                self.changed.notify()
        return invocation

    def end(self, invocation):
        """Returns `True` if the invocation has timed out."""
        # The thread needs no wake-up here. It finds nothing to do when its wait ends.
        with self.changed:
            if invocation in self.watched:
                self.watched.remove(invocation)
        self.open_spans.end(invocation)
        return invocation.has_timed_out(time.time())

    def note_root(self, invocation, root):
        """Tells the extension that an invocation has no span if its root is not sampled."""
        if root.is_valid and not root.trace_flags.sampled:
            self.open_spans.records.record(invocation.request_id, root)

    def run(self):
        while True:
            with self.changed:
                self.wait()
                if self.is_forking:
                    self.thread = None
                    return
                now = time.time()
                due = [invocation for invocation in self.watched if invocation.export_at <= now]
                self.watched = [invocation for invocation in self.watched if invocation not in due]
            if due:
                for invocation in due:
                    invocation.is_cut_off = True
                self.export_quickly(due)

    def wait(self):
        """Waits until the earliest export is due, or something changes."""
        earliest = min((invocation.export_at for invocation in self.watched), default=None)
        remaining = None if earliest is None else earliest - time.time()
        if not self.is_forking and (remaining is None or remaining > 0):
            self.wakes_at = earliest
            self.changed.wait(remaining)

    def export_quickly(self, due):
        interval = sys.getswitchinterval()
        sys.setswitchinterval(min(interval, SWITCH_INTERVAL))
        try:
            self.export_before_timeout(due)
        except Exception:
            # The export logs failures with partial spans itself. The flush at the end of the invocation exports the ended spans.
            pass
        finally:
            sys.setswitchinterval(interval)


class Records:
    """Records the root span of each invocation in `/tmp`. No call blocks, and a failure costs only the record.

    The file is open only while a record is written. The function may close all descriptors and open its own ones, or empty
    `/tmp`.
    """

    SLOTS = 64
    # On a managed instance, which runs many invocations at a time, in several processes.
    SLOTS_CONCURRENT = 2048
    BYTES = 90

    def __init__(self, runtime_api):
        self.runtime_api = runtime_api
        self.is_concurrent = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "lambda-managed-instances"
        self.slots = self.SLOTS_CONCURRENT if self.is_concurrent else self.SLOTS
        # The number of the next record, which the first record sets.
        self.number = None

    def announce(self, request_id, root):
        """Names the root span of an invocation that begins, to the extension and, on a managed instance, to the forwarder."""
        if self.is_concurrent and root.trace_flags.sampled:
            print_root(request_id, root)
        self.record(request_id, root)

    def record(self, request_id, root):
        if self.runtime_api is None:
            return
        try:
            # The carriage return marks a span that is in no OTLP line yet, and the form feed one that is not sampled.
            end = "\r" if root.trace_flags.sampled else "\f"
            record = f"v1 {request_id:<36} {root.trace_id:032x} {root.span_id:016x}{end}".encode()
            if len(record) == self.BYTES:
                self.write(record)
        except Exception:
            # For example, `/tmp` is full.
            pass

    def write(self, record):
        if self.number is None:
            # On a managed instance, other processes write to the same file.
            self.number = int.from_bytes(os.urandom(4), "big") if self.is_concurrent else 0
        file = self.open()
        try:
            os.pwrite(file, record, self.number % self.slots * self.BYTES)
        finally:
            os.close(file)
        self.number += 1

    def open(self):
        """Opens the file of the records, and returns its descriptor."""
        name = "".join(each if each.isascii() and each.isalnum() or each == "." else "-" for each in self.runtime_api[:100])
        # Only a regular file is written. Opening a pipe could block, and a link may point to another program's file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
        file = os.open(f"/tmp/.lambda-otlp-invocations-{name}", flags, 0o666)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError("not a file")
        return file


# Lambda takes a line without a level as INFO, and may drop it.
LEVELS_ABOVE_INFO = ("WARN", "ERROR", "FATAL")


def print_root(request_id, root):
    """Prints the root line of an invocation in one write. Source: `crates/wire/src/root_line.rs`."""
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    end = ""
    if level in LEVELS_ABOVE_INFO:
        end = f',"timestamp":"{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}","level":"{level}"'
    line = f'{{"_root":"{request_id} {root.trace_id:032x} {root.span_id:016x}"{end}}}\n'
    try:
        os.write(1, line.encode())
    except (OSError, ValueError):
        # A closed stdout costs only the line.
        pass
