"""Calls models without OpenTelemetry code. Each action of an event is a function of this module."""

import json
import os

import boto3
import botocore.config

MODELS = os.environ["MODELS"]
PROMPT = "geheim-prompt"
MESSAGES = [{"role": "user", "content": PROMPT}]
CONVERSE = {
    "modelId": "anthropic.claude-x",
    "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
    "inferenceConfig": {"maxTokens": 99},
}

bedrock = boto3.client(
    "bedrock-runtime",
    endpoint_url=MODELS,
    region_name="eu-west-1",
    aws_access_key_id="a",
    aws_secret_access_key="b",
    config=botocore.config.Config(retries={"max_attempts": 0}),
)


def bedrock_converse():
    return bedrock.converse(**CONVERSE)["output"]


def bedrock_stream():
    return list(bedrock.converse_stream(**CONVERSE)["stream"])


def bedrock_stream_left():
    for event in bedrock.converse_stream(**CONVERSE)["stream"]:
        return event


def bedrock_invoke():
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": MESSAGES}
    return json.loads(bedrock.invoke_model(modelId="anthropic.claude-x", body=json.dumps(body))["body"].read())


def bedrock_invoke_stream():
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": MESSAGES}
    response = bedrock.invoke_model_with_response_stream(modelId="anthropic.claude-x", body=json.dumps(body))
    return list(response["body"])


def bedrock_failed():
    return bedrock.converse(**{**CONVERSE, "modelId": "fail"})


def handler(event, context):
    action = globals()[event["action"]]
    try:
        return repr(action())
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
