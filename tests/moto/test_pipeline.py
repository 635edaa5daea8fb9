"""From PutLogEvents by a subscription filter through the real forwarder to rotel, an independent receiver of OTLP. With a backend
that is down at first, by the retry queue."""

import re
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import pytest
from aws import ACCOUNT, FORWARDER, REGION, free_port, functions
from batches import FUNCTION, log_batch, put, subscribe


class Rotel:
    def __init__(self, port):
        self.printed = tempfile.NamedTemporaryFile()
        self.process = subprocess.Popen(
            [Path(sysconfig.get_paths()["platlib"]) / "rotel/rotel-agent", "start"]
            + ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
            + ["--exporter", "blackhole", "--debug-log-verbosity", "detailed"]
            + ["--debug-log", "traces", "--debug-log", "logs", "--debug-log", "metrics"],
            # rotel is linked with Python's library.
            env={"LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or ""},
            stdin=subprocess.DEVNULL,
            stdout=self.printed,
            stderr=subprocess.STDOUT,
        )
        for _ in range(600):
            assert self.process.poll() is None, Path(self.printed.name).read_text()
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("rotel does not listen")

    def stop(self):
        """Ends it, so that it prints its last items. Returns the numbers of spans, log records and data points."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        printed = Path(self.printed.name).read_text()
        kinds = ["Span", "LogRecord", "(?:Number|Histogram)DataPoints"]
        return [len(re.findall(rf"^\s*{kind} #\d", printed, re.MULTILINE)) for kind in kinds]


def sqs_event(message):
    """Returns the event with which Lambda passes a message on (Lambda Developer Guide, "Using Lambda with Amazon SQS")."""
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1790000000000",
            "SenderId": "AROASIMULATED:forwarder",
            "ApproximateFirstReceiveTimestamp": "1790000000001",
        },
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:retry",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


@pytest.mark.parametrize(
    ("name", "expected", "is_down"),
    [
        ("text-mixed", [30, 8, 15], False),
        ("otlp-only", [530, 0, 0], False),
        ("large", [530, 997, 0], False),
        ("one-garbage", [0, 1, 0], False),
        ("text-mixed", [30, 8, 15], True),
        ("otlp-only", [530, 0, 0], True),
        ("large", [530, 997, 0], True),
    ],
)
def test_each_item_of_a_log_batch_reaches_the_backend_once(moto, now_ms, name, expected, is_down):
    moto.reset()
    port = free_port()
    rotel = None if is_down else Rotel(port)
    retry = moto.create_queue("retry")
    dead = moto.create_queue("dead-letters")
    variables = {
        "LAMBDA_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "LAMBDA_OTLP_BACKEND": "otlp",
        "LAMBDA_OTLP_VITALS": "emf",
        "LAMBDA_OTLP_RETRY_QUEUE_URL": retry,
        "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL": dead,
        "AWS_ENDPOINT_URL": moto.endpoint,
    }
    forwarder = functions.start(FUNCTION, FORWARDER, variables)
    redrive = functions.start("redrive", FORWARDER, variables)
    moto.create_function(FUNCTION)
    batch = log_batch(name)
    subscribe(moto, batch)
    put(moto, batch, now_ms)
    assert forwarder.failures == []

    messages = moto.receive(retry)
    assert bool(messages) == is_down
    rotel = rotel or Rotel(port)
    for message in messages:
        assert not (redrive.invoke(sqs_event(message)) or {}).get("batchItemFailures")
    assert redrive.failures == []
    assert rotel.stop() == expected
    assert len(moto.receive(dead)) == (name == "one-garbage")


def test_queued_telemetry_waits_as_long_as_the_backend_asks(moto, backend, now_ms):
    moto.reset()
    retry = moto.create_queue("retry")
    variables = {
        "LAMBDA_OTLP_ENDPOINT": backend.base,
        "LAMBDA_OTLP_RETRY_QUEUE_URL": retry,
        "LAMBDA_OTLP_INGEST_WINDOW": "1000000h",
        "AWS_ENDPOINT_URL": moto.endpoint,
    }
    functions.start(FUNCTION, FORWARDER, variables)
    redrive = functions.start("redrive", FORWARDER, variables)
    moto.create_function(FUNCTION)
    batch = log_batch("otlp-only")
    subscribe(moto, batch)
    backend.status = 503
    put(moto, batch, now_ms)
    # Received with no time to handle it, the message could come again at once.
    [message] = moto.receive(retry, seconds=0)
    backend.headers = {"retry-after": "600"}
    failed = redrive.invoke(sqs_event(message))["batchItemFailures"]
    assert failed == [{"itemIdentifier": message["MessageId"]}]
    assert moto.receive(retry) == []

    # The parts that the backend does not accept become new messages, which wait too.
    backend.first = [413, 200]
    assert not (redrive.invoke(sqs_event(message)) or {}).get("batchItemFailures")
    attributes = moto.sqs.get_queue_attributes(QueueUrl=retry, AttributeNames=["All"])["Attributes"]
    assert int(attributes["ApproximateNumberOfMessagesDelayed"]) > 0, attributes
