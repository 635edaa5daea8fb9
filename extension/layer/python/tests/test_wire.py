"""The fast start encodes spans as OTLP, and delivers requests to the extension."""

import importlib
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from isolation import isolated  # noqa: F401


@pytest.fixture(scope="module")
def wire(isolated):
    return importlib.import_module("lambda_otlp_wire")


class Extension(threading.Thread):
    """Gives requests the specified answers, and records their bodies."""

    def __init__(self, *answers):
        super().__init__(daemon=True)
        self.answers = list(answers)
        self.bodies = []
        self.connections = 0
        self.goes_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.start()

    def run(self):
        while self.answers:
            connection = self.listener.accept()[0]
            self.connections += 1
            self.serve(connection, connection.makefile("rb"))
            connection.close()

    def serve(self, connection, file):
        while self.answers:
            length = 0
            line = file.readline()
            if not line:
                return
            while line.strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = file.readline()
            self.bodies.append(file.read(length).decode())
            answer = self.answers.pop(0)
            if answer == "closes":
                return file.close()
            if answer == "waits":
                self.goes_on.wait()
                answer = 200
            connection.sendall(f"HTTP/1.1 {answer} X\r\ncontent-length: 2\r\n\r\n{{}}".encode())

    def receiver(self, wire):
        said = []
        return wire.Receiver(self.listener.getsockname(), said.append), said


# The extension's answers, the results of the flushes, the bodies by their numbers, the connections, and the seconds of a flush.
ANSWERS = {
    "accepted": ([200, 200], [True, True], [0, 1], 1, 5),
    "no room at first": ([503, 200, 200], [True, True], [0, 0, 1], 1, 5),
    "no room": ([503, 200], [False], [0], 1, 0.04),
    "refused": ([400, 200], [True, True], [0, 1], 1, 5),
    "closed before the answer": (["closes", 200], [False], [0], 1, 5),
    "closed twice": (["closes", "closes", 200, 200], [False, False], [0, 0], 2, 5),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_requests_are_repeated_until_they_are_accepted_or_refused(wire, case):
    answers, expected, bodies, connections, seconds = ANSWERS[case]
    extension = Extension(*answers)
    to, said = extension.receiver(wire)
    results = []
    for number in range(len(expected)):
        to.add("/v1/traces", f"body {number}".encode())
        results.append(to.deliver(time.monotonic() + seconds))
    assert results == expected
    assert extension.bodies == [f"body {number}" for number in bodies]
    assert extension.connections == connections
    assert said == (["dropped a request: the extension answered 400"] if case == "refused" else [])


def test_a_late_answer_is_read_before_the_next_request(wire):
    extension = Extension("waits", 200)
    to, _ = extension.receiver(wire)
    to.add("/v1/traces", b"late")
    assert not to.deliver(time.monotonic() + 0.2)
    extension.goes_on.set()
    to.add("/v1/traces", b"next")
    assert to.deliver(time.monotonic() + 5)
    assert (extension.bodies, len(to.backlog)) == (["late", "next"], 0)


def test_without_an_extension_the_newest_requests_wait(wire, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    said = []
    to = wire.Receiver(address, said.append)
    monkeypatch.setattr(wire, "MOST_BYTES", 10)
    for body in (b"first 1", b"second", b"third"):
        to.add("/v1/traces", body)
    assert not to.deliver(time.monotonic() + 5)
    assert [each.rpartition(b"\n")[2] for each in to.backlog] == [b"first 1", b"third"]
    assert said == ["dropped a request: the extension does not answer, and the queue of 16 MiB is full"]
    assert not to.deliver(time.monotonic() - 1)


# Values of attributes, and their bytes.
VALUES = [
    ("é", "0a02c3a9"),
    (True, "1001"),
    (False, "1000"),
    (0, "1800"),
    (-1, "18ffffffffffffffffff01"),
    (1 << 40, "18808080808020"),
    (1 << 70, "0a1631313830353931363230373137343131333033343234"),
    (1.5, "21000000000000f83f"),
    (b"raw", "3a03726177"),
    (None, ""),
    (["a", 1], "2a090a030a01610a021801"),
    ({"k": {"n": 2}}, "32120a100a016b120b32090a070a016e12021802"),
    ("\ud800", "0a013f"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=[ascii(value) for value, _ in VALUES])
def test_values_are_encoded_as_protobuf(wire, value, expected):
    assert wire.any_value(value).hex() == expected


class Scope(SimpleNamespace):
    __hash__ = object.__hash__


CONTEXT = SimpleNamespace(trace_id=0xAB, span_id=0xCD, trace_state={"k": "v"}, is_remote=True)
SPAN = {
    "context": CONTEXT,
    "parent": CONTEXT,
    "name": "n",
    "kind": SimpleNamespace(value=1),
    "start_time": 1,
    "end_time": 2,
    "attributes": {"a": 1},
    "dropped_attributes": 1,
    "events": [SimpleNamespace(name="e", timestamp=3, attributes={})],
    "dropped_events": 0,
    "links": [SimpleNamespace(context=CONTEXT, attributes={})],
    "dropped_links": 300,
    "status": SimpleNamespace(description="no", status_code=SimpleNamespace(value=2)),
    "instrumentation_scope": Scope(name="s", version="1", attributes=None, schema_url="u"),
}
ENCODED = (
    "0aba010a180a160a0c736572766963652e6e616d6512060a0473686f70129d010a060a0173120131128f010a10000000000000000000000000000000"
    "ab120800000000000000cd1a036b3d76220800000000000000cd2a016e30023901000000000000004102000000000000004a070a0161120218015001"
    "5a0c0903000000000000001201656a210a10000000000000000000000000000000ab120800000000000000cd350003000070ac027a0612026e6f1802"
    "8501000300001a0175"
)


def test_spans_are_encoded_as_protobuf(wire):
    resource = wire.resource_of({"service.name": "shop"})
    said = []
    span = SimpleNamespace(**SPAN)
    assert wire.encode_spans(resource, [span], said.append).hex() == ENCODED
    # A span without a valid time.
    early = SimpleNamespace(**{**SPAN, "name": "early", "start_time": -1})
    assert wire.encode_spans(resource, [early, span], said.append).hex() == ENCODED
    assert wire.encode_spans(resource, [early], said.append) == b""
    assert [text.partition(": ")[0] for text in said] == ["the span 'early' is dropped, because it cannot be encoded"] * 2
