"""OTLP requests for the extension: the protobuf messages of spans, and a connection to its receiver.

This module replaces OpenTelemetry's exporter. The exporter's HTTP client and protobuf classes take longer to import than all
other parts.

Source: opentelemetry-proto 1.9, `trace.proto`, `common.proto` and `resource.proto`.
"""

import _socket
import select
import struct
from collections.abc import Mapping, Sequence

from lambda_otlp_load import layer_module, time

# Size limit of the backlog, in bytes. Beyond it, the oldest requests are dropped, except the first, which may be in progress.
MAX_BYTES = 16 << 20
# Retry interval while the extension has no room, in seconds. The extension's gRPC answers ask for the same.
RETRY = 0.05
# Size limit of an answer, in bytes.
MAX_ANSWER = 1 << 16
# Upper limit of one wait for the extension, in seconds. No invocation lasts this long.
MAX_SECONDS = 86400
# Bits of `Span.flags`: the second is set if the parent is remote, the first if the second is valid.
HAS_IS_REMOTE = 0x100
IS_REMOTE = 0x200

SMALL = [bytes([number]) for number in range(128)]
pack_double = struct.Struct("<d").pack
pack_fixed64 = struct.Struct("<Q").pack
pack_fixed32 = struct.Struct("<I").pack


def varint(number):
    if number < 128:
        return SMALL[number]
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


# `tag` is the number of a field times 8, plus its type in protobuf: 0x12 is field 2 with a length.


def message(tag, body):
    """Encodes a length-delimited field: a message, a string or bytes."""
    return SMALL[tag] + varint(len(body)) + body


def text(tag, value):
    return message(tag, str(value).encode("utf-8", "replace")) if value else b""


def number(tag, value):
    return SMALL[tag] + varint(value) if value else b""


def masked(text):
    """Returns a text without credentials. Most texts are names, numbers or addresses, which have none."""
    if "=" in text or "@" in text or " " in text or '"' in text or "'" in text:
        return layer_module("lambda_otlp_secrets").mask(text)
    return text


def any_value(value):
    if isinstance(value, str):
        return message(0x0A, masked(value).encode("utf-8", "replace"))
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return b"\x18" + varint(value & (1 << 64) - 1)
        # OTLP integers have 64 bits.
        return any_value(str(value))
    if isinstance(value, float):
        return b"\x21" + pack_double(value)
    if isinstance(value, bytes):
        return message(0x3A, value)
    if isinstance(value, Mapping):
        return message(0x32, attributes_of(0x0A, value))
    if isinstance(value, Sequence):
        return message(0x2A, b"".join([message(0x0A, any_value(each)) for each in value]))
    return any_value(str(value))


def attributes_of(tag, attributes):
    if not attributes:
        return b""
    pairs = []
    for name, value in attributes.items():
        pairs.append(message(tag, message(0x0A, str(name).encode("utf-8", "replace")) + message(0x12, any_value(value))))
    return b"".join(pairs)


def id_of(tag, number, length):
    return message(tag, number.to_bytes(length, "big"))


def flags_of(context):
    return HAS_IS_REMOTE | IS_REMOTE if context is not None and context.is_remote else HAS_IS_REMOTE


def event_of(event):
    return (
        b"\x09"
        + pack_fixed64(event.timestamp)
        + text(0x12, event.name)
        + attributes_of(0x1A, event.attributes)
        + number(0x20, getattr(event.attributes, "dropped", 0))
    )


def link_of(link):
    context = link.context
    return (
        id_of(0x0A, context.trace_id, 16)
        + id_of(0x12, context.span_id, 8)
        + attributes_of(0x22, link.attributes)
        + number(0x28, getattr(link.attributes, "dropped", 0))
        + b"\x35"
        + pack_fixed32(flags_of(context))
    )


def span_of(span):
    context = span.context
    parent = span.parent
    status = span.status
    state = context.trace_state
    return b"".join(
        (
            id_of(0x0A, context.trace_id, 16),
            id_of(0x12, context.span_id, 8),
            text(0x1A, ",".join([f"{key}={value}" for key, value in state.items()])) if state else b"",
            id_of(0x22, parent.span_id, 8) if parent else b"",
            text(0x2A, span.name),
            # OTLP's kinds are the API's plus one.
            number(0x30, span.kind.value + 1),
            b"\x39" + pack_fixed64(span.start_time),
            b"\x41" + pack_fixed64(span.end_time),
            attributes_of(0x4A, span.attributes),
            number(0x50, span.dropped_attributes),
            b"".join([message(0x5A, event_of(event)) for event in span.events]),
            number(0x60, span.dropped_events),
            b"".join([message(0x6A, link_of(link)) for link in span.links]),
            number(0x70, span.dropped_links),
            message(0x7A, text(0x12, masked(status.description or "")) + number(0x18, status.status_code.value)),
            # Field 16 has a tag of two bytes.
            b"\x85\x01" + pack_fixed32(flags_of(parent)),
        )
    )


def scope_of(scope):
    return text(0x0A, scope.name) + text(0x12, scope.version) + attributes_of(0x1A, scope.attributes)


def request_of(resource, scopes):
    """Encodes a request of any signal from encoded items, which are grouped by scope."""
    parts = [message(0x0A, resource)]
    for scope, items in scopes.items():
        body = message(0x0A, scope_of(scope)) + b"".join([message(0x12, item) for item in items]) + text(0x1A, scope.schema_url)
        parts.append(message(0x12, body))
    return message(0x0A, b"".join(parts))


def resource_of(attributes):
    return attributes_of(0x0A, attributes)


def encode_spans(resource, spans, say):
    """Encodes a request of these spans. It is empty if there are none. A span that cannot be encoded is dropped alone."""
    scopes = {}
    for span in spans:
        try:
            encoded = span_of(span)
        except Exception as error:
            say(f"the span {span.name!r} is dropped, because it cannot be encoded: {error!r}")
        else:
            scopes.setdefault(span.instrumentation_scope, []).append(encoded)
    return request_of(resource, scopes) if scopes else b""


class Receiver:
    """A client of the extension's receiver, which sends one request after the other over one connection.

    A request stays in the backlog until the extension has answered it. If a flush stops waiting, the next one continues at the
    same byte, so that the extension gets the request once.
    """

    def __init__(self, address, say):
        self.address = address
        self.say = say
        self.backlog = []
        # The size of the backlog.
        self.bytes = 0
        self.forget_connection()

    def reset(self):
        """Drops the connection and the backlog."""
        self.close()
        self.backlog.clear()
        self.bytes = 0

    def forget_connection(self):
        self.connection = None
        # `True` while the first request of the backlog is on the connection, and has no whole answer yet.
        self.has_request = False
        # The rest of that request, and the received part of its answer.
        self.unsent = b""
        self.answer = b""

    def add(self, path, body):
        host, port = self.address
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/x-protobuf\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        request = head.encode() + body
        self.backlog.append(request)
        self.bytes += len(request)
        while self.bytes > MAX_BYTES and len(self.backlog) > 1:
            # The first request may be in progress.
            self.bytes -= len(self.backlog.pop(1))
            self.say("dropped a request: the extension does not answer, and the queue of 16 MiB is full")

    def deliver(self, until):
        """Sends the backlog. Returns `True` if it is empty by this time."""
        try:
            while self.backlog:
                status = self.exchange(until)
                if status in (429, 502, 503, 504):
                    # The extension has no room at the moment.
                    time.sleep(min(RETRY, seconds_until(until)))
                    continue
                answered = self.backlog.pop(0)
                self.bytes -= len(answered)
                if status != 200:
                    self.say(f"dropped a request: the extension answered {status}")
            return True
        except TimeoutError:
            return False
        except OSError:
            self.close()
            return False

    def exchange(self, until):
        """Sends the first request of the backlog and returns the status of its answer.

        The request gets a new connection if the extension has closed the one from before.
        """
        if self.connection is not None:
            try:
                if not self.is_closed_while_idle():
                    return self.exchange_on_connection(until)
            except TimeoutError:
                raise
            except OSError:
                pass
        self.close()
        self.connect(until)
        return self.exchange_on_connection(until)

    def is_closed_while_idle(self):
        return not self.has_request and bool(select.select([self.connection], [], [], 0)[0])

    def connect(self, until):
        self.connection = connect(self.address, seconds_until(until))
        self.connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)

    def exchange_on_connection(self, until):
        """Sends the first request, or the rest of it, and returns the status of its answer."""
        if not self.has_request:
            self.unsent = self.backlog[0]
            self.answer = b""
            self.has_request = True
        while self.unsent:
            self.connection.settimeout(seconds_until(until))
            self.unsent = self.unsent[self.connection.send(self.unsent) :]
        return self.receive_status(until)

    def receive_status(self, until):
        """Reads the whole answer, and returns its status."""
        while True:
            head, end, body = self.answer.partition(b"\r\n\r\n")
            if end:
                length = content_length(head)
                if length is not None and len(body) >= length:
                    break
                if length is None:
                    # The end of the answer is unknown, so another request cannot use this connection.
                    self.close()
                    break
            self.connection.settimeout(seconds_until(until))
            piece = self.connection.recv(4096)
            if not piece or len(self.answer) > MAX_ANSWER:
                raise ConnectionError("the response is incomplete")
            self.answer += piece
        self.has_request = False
        if b"connection: close" in head.lower():
            self.close()
        return int(head[9:12])

    def close(self):
        connection = self.connection
        self.forget_connection()
        if connection is not None:
            connection.close()


def connect(address, seconds):
    """Returns a connection to the first address of a host that answers, of IPv4 or IPv6. `seconds` is the timeout of each step.

    `socket.create_connection` does the same, but importing `socket` takes longer than all of this module.
    """
    host, port = address
    failure = OSError(f"the host {host} has no address")
    # For a text, Python would import the codec of internationalized names.
    for family, kind, protocol, _, place in _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.connect(place)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


def content_length(head):
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return None


def seconds_until(until):
    """Returns the time that is left, which a socket takes as its timeout. Raises an error if there is none."""
    seconds = min(until - time.monotonic(), MAX_SECONDS)
    if seconds <= 0:
        raise TimeoutError("the export timed out")
    return seconds
