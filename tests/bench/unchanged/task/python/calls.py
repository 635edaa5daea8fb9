"""Creates three spans: the invocation and two calls."""

import os

import requests


def handler(event, context):
    for item in ("first", "second"):
        requests.get(f"{os.environ['SERVICE']}/{item}", timeout=10).raise_for_status()
    return {"done": event["number"]}
