"""Makes an AWS SDK client, as most functions do."""

import boto3

queues = boto3.client("sqs")


def handler(event, context):
    return {"done": event["number"]}
