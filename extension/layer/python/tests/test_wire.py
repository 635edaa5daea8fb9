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


class Case:
    """The extension's answers, and what they lead to: the results of the flushes, the bodies by their numbers, and the
    connections. `seconds` is the time limit of a flush.
    """

    def __init__(self, *answers, results, bodies, connections=1, seconds=5):
        self.answers = answers
        self.results = results
        self.bodies = bodies
        self.connections = connections
        self.seconds = seconds


CASES = {
    "accepted": Case(200, 200, results=[True, True], bodies=[0, 1]),
    "no room at first": Case(503, 200, 200, results=[True, True], bodies=[0, 0, 1]),
    "no room": Case(503, 200, results=[False], bodies=[0], seconds=0.04),
    "refused": Case(400, 200, results=[True, True], bodies=[0, 1]),
    "closed before the answer": Case("closes", 200, results=[False], bodies=[0]),
    "closed twice": Case("closes", "closes", 200, 200, results=[False, False], bodies=[0, 0], connections=2),
}


@pytest.mark.parametrize("name", CASES)
def test_requests_are_repeated_until_they_are_accepted_or_refused(wire, name):
    case = CASES[name]
    extension = Extension(*case.answers)
    receiver, said = extension.receiver(wire)
    results = []
    for number in range(len(case.results)):
        receiver.add("/v1/traces", f"body {number}".encode())
        results.append(receiver.deliver(time.monotonic() + case.seconds))
    assert results == case.results
    assert extension.bodies == [f"body {number}" for number in case.bodies]
    assert extension.connections == case.connections
    # Its limit holds for the life of the environment.
    assert receiver.bytes == sum(map(len, receiver.backlog))
    assert said == (["dropped a request: the extension answered 400"] if name == "refused" else [])


def test_a_late_answer_is_read_before_the_next_request(wire):
    extension = Extension("waits", 200)
    receiver, _ = extension.receiver(wire)
    receiver.add("/v1/traces", b"late")
    assert not receiver.deliver(time.monotonic() + 0.2)
    extension.goes_on.set()
    receiver.add("/v1/traces", b"next")
    assert receiver.deliver(time.monotonic() + 5)
    assert (extension.bodies, len(receiver.backlog)) == (["late", "next"], 0)


@pytest.mark.parametrize(
    ("host", "place", "family"),
    [
        ("127.0.0.1", "127.0.0.1", socket.AF_INET),
        ("localhost", "127.0.0.1", socket.AF_INET),
        ("::1", "::1", socket.AF_INET6),
    ],
)
def test_a_connection_reaches_hosts_of_both_families(wire, host, place, family):
    with socket.create_server((place, 0), family=family) as listener:
        connection = wire.connect((host, listener.getsockname()[1]), 5)
        accepted, _ = listener.accept()
        connection.sendall(b"a request")
        assert accepted.recv(100) == b"a request"
        accepted.close()
        connection.close()


def test_without_an_extension_the_newest_requests_wait(wire, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    said = []
    receiver = wire.Receiver(address, said.append)
    receiver.add("/v1/traces", b"first 1")
    monkeypatch.setattr(wire, "MAX_BYTES", 2 * receiver.bytes)
    for body in (b"second", b"third"):
        receiver.add("/v1/traces", body)
    assert not receiver.deliver(time.monotonic() + 5)
    assert [each.rpartition(b"\n")[2] for each in receiver.backlog] == [b"first 1", b"third"]
    assert said == ["dropped a request: the extension does not answer, and the queue of 16 MiB is full"]
    assert not receiver.deliver(time.monotonic() - 1)


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
