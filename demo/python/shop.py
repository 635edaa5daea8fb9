"""The demo's Python function: takes an order over HTTP and has the function "orders" fulfil it.

It runs on AWS's runtime client. OpenTelemetry's SDK sends what it makes to the extension, at the address that every SDK
sends to by default. Each span, log record and data point has a number, and is in the ledger when it ends.

The event is an API Gateway event whose body is `{"action": "ok", "first_number": 1000, "orders_first_number": 2000}`; the
action is what "orders" is told to do.
"""

import contextlib
import json
import os
import time
import urllib.request

import ledger
from opentelemetry import propagate, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

resource = Resource.create({"service.name": os.environ["AWS_LAMBDA_FUNCTION_NAME"]})
tracers = TracerProvider(resource=resource)
# The ledger comes first: what it has is owed, whatever the exporter does.
tracers.add_span_processor(ledger.EndOfSpans())
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
# Nothing is exported between the flushes: the period is longer than the function lives.
reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)
meters = MeterProvider(resource=resource, metric_readers=[reader])

tracer = tracers.get_tracer("shop")
logger = loggers.get_logger("shop")
meter = meters.get_meter("shop")
placed = meter.create_counter("demo.shop.orders", unit="{order}")
waited = meter.create_histogram("demo.shop.wait", unit="s")


def handler(event, context):
    order = json.loads(event["body"])
    ledger.continue_at(order["first_number"])
    try:
        return take(event, order, context)
    finally:
        flush()


def flush():
    """Lambda freezes the process after the response: all has to be with the extension by then."""
    if not all([provider.force_flush() for provider in (tracers, loggers, meters)]):
        raise RuntimeError("the extension did not take everything")


def take(event, order, context):
    attributes = {
        "faas.invocation_id": context.aws_request_id,
        "http.request.method": "POST",
        "http.route": "/shop",
    }
    parent = propagate.extract(event["headers"])
    with numbered_span("POST /shop", SpanKind.SERVER, attributes, parent) as span:
        # What a function prints is in its log group all the same.
        print(f"order of request {context.aws_request_id}")
        log(SeverityNumber.INFO, "order placed")
        with numbered_span("find price"):
            time.sleep(0.003)
            log(SeverityNumber.DEBUG, "the price is 9.50")
        begin = time.monotonic()
        fulfilled = invoke_orders(event, order)
        count(placed.add, 1, "demo.shop.orders")
        count(waited.record, time.monotonic() - begin, "demo.shop.wait")
        status = 201 if fulfilled else 502
        span.set_attribute("http.response.status_code", status)
        if not fulfilled:
            log(SeverityNumber.ERROR, "the order was not fulfilled")
            span.set_status(StatusCode.ERROR)
        return {"statusCode": status, "body": ""}


def invoke_orders(event, order):
    """An invocation has no HTTP headers that the function sees: the parent travels in the event's."""
    attributes = {"faas.invoked_name": "orders", "faas.invoked_provider": "aws"}
    with numbered_span("invoke orders", SpanKind.CLIENT, attributes) as span:
        body = {"action": order["action"], "children": 2, "first_number": order["orders_first_number"]}
        payload = {
            **event,
            "routeKey": "POST /orders/{id}",
            "rawPath": "/orders/7",
            "headers": {**event["headers"]},
            "body": json.dumps(body),
        }
        propagate.inject(payload["headers"])
        request = urllib.request.Request(
            os.environ["AWS_ENDPOINT_URL_LAMBDA"] + "/2015-03-31/functions/orders/invocations",
            data=json.dumps(payload).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            failed = response.headers.get("X-Amz-Function-Error")
        if failed:
            span.set_status(StatusCode.ERROR, failed)
        return not failed


@contextlib.contextmanager
def numbered_span(name, kind=SpanKind.INTERNAL, attributes=None, parent=None):
    number = ledger.next_number()
    ledger.started(number, name)
    attributes = {**(attributes or {}), ledger.NUMBER: number}
    with tracer.start_as_current_span(name, parent, kind, attributes) as span:
        yield span


def log(severity, body):
    number = ledger.next_number()
    logger.emit(LogRecord(
        timestamp=time.time_ns(),
        severity_number=severity,
        severity_text=severity.name,
        body=body,
        attributes={ledger.NUMBER: number},
    ))
    ledger.ended(number, "log", body)


def count(record, value, name):
    """A number as attribute makes each measurement a data point of its own, which only a demo wants."""
    number = ledger.next_number()
    record(value, {ledger.NUMBER: number})
    ledger.ended(number, "data_point", name)
