"""Asks for a price, stores an order, asks a model and sends a message, without OpenTelemetry code."""

import json
import os
import urllib.request

import boto3
import psycopg

OPTIONS = {"region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
bedrock = boto3.client("bedrock-runtime", endpoint_url=os.environ["MODELS"], **OPTIONS)
sqs = boto3.client("sqs", endpoint_url=os.environ["SERVICES"], **OPTIONS)
orders = psycopg.connect(f"host=127.0.0.1 port={os.environ['POSTGRESQL']} dbname=shop user=shop password=geheim", autocommit=True)
orders.execute("CREATE TEMPORARY TABLE orders (item integer, price integer)")


def price_of(item):
    with urllib.request.urlopen(f"{os.environ['SERVICES']}/prices/{item}") as response:
        return json.load(response).get("price", 950)


def handler(event, context):
    price = price_of(event["item"])
    orders.execute("INSERT INTO orders VALUES (%s, %s)", (event["item"], price))
    message = {"role": "user", "content": [{"text": f"Thank the customer for item {event['item']}."}]}
    answer = bedrock.converse(modelId="amazon.nova-lite-v1:0", messages=[message])
    sqs.send_message(QueueUrl=f"{os.environ['SERVICES']}/1/mails", MessageBody=answer["output"]["message"]["content"][0]["text"])
    return {"price": price}
