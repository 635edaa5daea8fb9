"""Functions in Rust, Python and Node call each other through AWS's SDKs: synchronously, by a queue, by a topic in front of a
queue, and by a bus.

Each function sends to a server in place of AWS. The test makes the next function's event of what was sent, as AWS documents it:
Lambda Developer Guide, "Using Lambda with Amazon SQS"; X-Ray Developer Guide, "Amazon SQS and AWS X-Ray"; Amazon SNS Developer
Guide, "Fanout to Amazon SQS queues"; EventBridge User Guide, "Amazon EventBridge events".
"""

import base64
import json
import shutil
import subprocess
from urllib.parse import parse_qs

import pytest
from local_lambda import PROGRAMS, REPOSITORY, packages, run
from node_packages import node_modules
from stand_in import StandIn, serve

SOURCES = REPOSITORY / "tests/interop/chain"

PUBLISHED = b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>'


class Aws(StandIn):
    """Keeps the calls of AWS's services, by the way in which the next function gets them."""

    def do_POST(self):
        body = self.read()
        answer = b"{}"
        target = self.headers.get("x-amz-target", "")
        if self.path.startswith("/2015-03-31/functions/next/"):
            self.server.sent["invoke"] = self.headers["x-amz-client-context"]
        elif target == "AmazonSQS.SendMessage":
            self.server.sent["queue"] = {**json.loads(body), "header": self.headers["x-amzn-trace-id"]}
        elif target == "AWSEvents.PutEvents":
            self.server.sent["bus"] = json.loads(body)["Entries"][0]
            answer = b'{"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}'
        else:
            self.server.sent["topic"] = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            answer = PUBLISHED
        self.answer(answer)


@pytest.fixture
def aws():
    server = serve(Aws)
    server.sent = {}
    yield server
    server.shutdown()


def record(body, attributes, header=None):
    own = {
        "messageId": "m",
        "body": body,
        "messageAttributes": attributes,
        "attributes": {"AWSTraceHeader": header} if header else {},
    }
    return {"Records": [{**own, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders"}]}


def of_queue(sent):
    """Returns the event of a message. SQS keeps the request's header of X-Ray, which boto3's instrumentation sends."""
    attributes = {
        name: {"stringValue": each["StringValue"], "dataType": "String"}
        for name, each in sent.get("MessageAttributes", {}).items()
    }
    return record(sent["MessageBody"], attributes, sent["header"])


def of_topic(sent):
    attributes = {}
    number = 1
    while name := sent.get(f"MessageAttributes.entry.{number}.Name"):
        attributes[name] = {"Type": "String", "Value": sent[f"MessageAttributes.entry.{number}.Value.StringValue"]}
        number += 1
    notification = {
        "Type": "Notification",
        "MessageId": "n",
        "TopicArn": sent["TopicArn"],
        "Message": sent["Message"],
        "MessageAttributes": attributes,
    }
    return record(json.dumps(notification), {})


def of_bus(sent):
    return {
        "version": "0",
        "id": "e",
        "source": sent["Source"],
        "detail-type": sent["DetailType"],
        "detail": json.loads(sent["Detail"]),
    }


# The first function's events, by the way in which they come, and the next one's event of what was sent.
FIRST = {
    "invoke": {"order": 7},
    "queue": record("order 7", {}),
    "topic": of_topic({"TopicArn": "t", "Message": "order 7"}),
    "bus": of_bus({"Source": "shop", "DetailType": "order", "Detail": "{}"}),
}
MADE = {"queue": of_queue, "topic": of_topic, "bus": of_bus}


def program():
    """Returns the Rust function, which cargo makes of the current library."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--target-dir", PROGRAMS.parent], cwd=SOURCES / "rust", check=True)
    return PROGRAMS / "lambda-otlp-interop-chain"


class Function:
    """A function of this language, with what it sends to AWS."""

    def __init__(self, folder, language, aws):
        self.folder = folder
        self.language = language
        self.aws = aws
        self.env = {"AWS_ENDPOINT_URL": aws.url}
        self.start = {"runtime": language}
        shutil.copytree(SOURCES / language, folder, ignore=shutil.ignore_patterns("target"))
        if language == "rust":
            # The library traces the function, and needs no wrapper.
            self.start = {"command": [program()], "wrapper": False}
        elif language == "python":
            self.env["PYTHONPATH"] = str(packages("boto3==1.44.5"))
        else:
            (folder / "node_modules").symlink_to(node_modules(SOURCES / "node/package.json"))

    def invoke(self, events, options=()):
        """Returns the spans of each event, by its way."""
        self.aws.sent.clear()
        ran = run(self.folder, list(events.values()), handler="chain.handler", env=self.env, options=options, **self.start)
        assert set(self.aws.sent) == set(events), ran.text
        servers = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
        return {
            way: Spans(server, [span for span in ran.spans if span["traceId"] == server["traceId"]])
            for way, server in zip(events, servers, strict=True)
        }


class Spans:
    """The spans of an invocation. Each invocation of a run is in a trace of its own."""

    def __init__(self, server, spans):
        self.server = server
        self.ids = {(span["traceId"], span["spanId"]) for span in spans}
        self.links = [(link["traceId"], link["spanId"]) for span in spans if span["kind"] == "CONSUMER" for link in span["links"]]

    def callers(self):
        parent = self.server["parentSpanId"]
        return [*self.links, *([(self.server["traceId"], parent)] if parent else [])]


CHAINS = [
    ("python", "node", "python"),
    ("node", "python", "node"),
    ("rust", "node", "python", "rust"),
    ("python", "rust", "node", "python"),
]


@pytest.mark.parametrize("languages", CHAINS, ids="-".join)
def test_each_function_is_below_its_caller_or_linked_to_the_sender_of_its_message(tmp_path, aws, languages):
    first, *others = [Function(tmp_path / str(number), language, aws) for number, language in enumerate(languages)]
    senders = first.invoke(FIRST)
    assert [spans.callers() for spans in senders.values()] == [[]] * len(FIRST)
    sent = dict(aws.sent)
    for function in others:
        (function.folder / "context.json").write_bytes(base64.b64decode(sent["invoke"]))
        found = function.invoke({"invoke": FIRST["invoke"]}, ["--client-context", function.folder / "context.json"])
        called = dict(aws.sent)
        found |= function.invoke({way: make(sent[way]) for way, make in MADE.items()})
        sent = {**called, **aws.sent}
        for way, spans in found.items():
            (caller,) = spans.callers()
            assert caller in senders[way].ids, (way, function.language)
        assert found["invoke"].server["traceId"] == senders["invoke"].server["traceId"]
        assert found["bus"].server["traceId"] == senders["bus"].server["traceId"]
        senders = found
