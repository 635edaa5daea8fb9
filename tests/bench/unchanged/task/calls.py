"""Creates three spans: the invocation and two calls."""

import os
import urllib.request


def handler(event, context):
    for item in ("first", "second"):
        with urllib.request.urlopen(f"{os.environ['SERVICE']}/{item}") as response:
            response.read()
    return {"done": event["number"]}
