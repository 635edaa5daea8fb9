"""A function that imports nothing of OpenTelemetry: it asks for a price over HTTP and for the queues of SQS."""

import os
import sys
import time
import urllib.request

import boto3

queues = boto3.client("sqs")


def handler(event, context):
    if event["action"] == "fail":
        raise ValueError("the order cannot be fulfilled")
    with urllib.request.urlopen(os.environ["PRICES"] + "/price") as response:
        response.read()
    queues.list_queues()
    if event["action"] == "wait":
        urllib.request.urlopen(os.environ["PRICES"] + "/never")
    if event["action"] == "compute":
        while True:
            pass
    if event["action"] == "leave":
        sys.exit(3)
    if event["action"] == "kill":
        # Until what has ended is exported.
        time.sleep(0.5)
        os._exit(3)
    return {"done": event["number"]}
