"""A function that AWS's distribution of OpenTelemetry instruments."""

import os

import urllib3
from opentelemetry import trace

http = urllib3.PoolManager()


def handler(event, _):
    trace.get_current_span().set_attribute("order", event["number"])
    if event["action"] == "fail":
        raise ValueError("the order cannot be fulfilled")
    http.request("GET", os.environ["PRICES"] + "/price")
    return {"done": event["number"]}
