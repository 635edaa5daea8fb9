"""Functions that trace with X-Ray's SDK and with Powertools, as in the documentation of these."""

import os
import urllib.request

NUMBER = "order"


def price():
    with urllib.request.urlopen(os.environ["PRICES"] + "/price") as response:
        response.read()


def fulfil(event):
    if event["action"] == "fail":
        raise ValueError("the order cannot be fulfilled")
    price()


if os.environ["_HANDLER"].endswith(".sdk"):
    from aws_xray_sdk.core import patch, xray_recorder

    patch(["httplib"])

    @xray_recorder.capture("charge")
    def charge(event):
        xray_recorder.put_annotation(NUMBER, event["number"])
        xray_recorder.put_metadata("items", ["tea"], "shop")
        fulfil(event)

    def sdk(event, _):
        charge(event)
        return {"done": event["number"]}

else:
    from aws_lambda_powertools import Logger, Metrics, Tracer
    from aws_lambda_powertools.metrics import MetricUnit

    tracer = Tracer()
    logger = Logger()
    metrics = Metrics(namespace="shop")

    @tracer.capture_method
    def charge(event):
        tracer.put_annotation(NUMBER, event["number"])
        tracer.put_metadata("items", ["tea"], "shop")
        fulfil(event)

    @metrics.log_metrics
    @tracer.capture_lambda_handler
    @logger.inject_lambda_context
    def powertools(event, _):
        logger.info("the order is charged", extra={NUMBER: event["number"]})
        metrics.add_metric("OrdersCharged", MetricUnit.Count, 1)
        charge(event)
        return {"done": event["number"]}
