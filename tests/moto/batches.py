"""The fixtures' log events in log groups that lead to the forwarder."""

import base64
import gzip
import json

from aws import ROOT, function_arn

FUNCTION = "forwarder"


def log_batch(name):
    event = json.loads((ROOT / f"tests/fixtures/events/awslogs-{name}.json").read_text())
    return json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))


def subscribe(aws, batch):
    aws.create_log_stream(batch["logGroup"], batch["logStream"])
    set_filter(aws, batch["logGroup"], "")


def set_filter(aws, group, pattern):
    aws.logs.put_subscription_filter(
        logGroupName=group, filterName="lambda-otlp", filterPattern=pattern, destinationArn=function_arn(FUNCTION)
    )


def put(aws, batch, now_ms):
    """Puts the log events as of now: CloudWatch Logs refuses old ones."""
    events = [{"timestamp": now_ms, "message": event["message"]} for event in batch["logEvents"]]
    names = {"logGroupName": batch["logGroup"], "logStreamName": batch["logStream"]}
    put = aws.logs.put_log_events(**names, logEvents=events)
    assert "rejectedLogEventsInfo" not in put, put
