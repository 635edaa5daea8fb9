"""A function that passes its event on, in the same way in which it came."""

import json

import boto3
from opentelemetry import propagate

functions, queues, topics, buses = (boto3.client(name) for name in ("lambda", "sqs", "sns", "events"))
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"


def handler(event, context):
    if "detail" in event:
        detail = {"order": 7}
        propagate.inject(detail)
        buses.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": json.dumps(detail)}])
    elif "Records" not in event:
        functions.invoke(FunctionName="next", Payload=json.dumps(event))
    elif "Notification" in event["Records"][0]["body"]:
        topics.publish(TopicArn=TOPIC, Message="order 7")
    else:
        queues.send_message(QueueUrl=QUEUE, MessageBody="order 7")
