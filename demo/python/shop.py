"""The demo's Python function: takes an order over HTTP and invokes the function "orders" to fulfil it.

It runs on AWS's runtime client. OpenTelemetry's SDK exports to the extension at the SDK's default address. Each span, log
record and data point has a number, which the function writes to the ledger when the item ends.

The event is an API Gateway event with the body `{"action": "ok", "first_number": 1000, "orders_first_number": 2000}`. The
function passes the action to "orders".
"""

import contextlib
import json
import os
import time
import urllib.request

import ledger
from opentelemetry import propagate
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
# Before the exporter, so that the ledger lists a span even if its export fails.
tracers.add_span_processor(ledger.EndOfSpans())
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
# Only flushes export: the interval is longer than the function lives.
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
    """Exports everything to the extension before the response, after which Lambda freezes the process."""
    if not all([provider.force_flush() for provider in (tracers, loggers, meters)]):
        raise RuntimeError("the extension did not accept all telemetry")


def take(event, order, context):
    attributes = {
        "faas.invocation_id": context.aws_request_id,
        "http.request.method": "POST",
        "http.route": "/shop",
    }
    parent = propagate.extract(event["headers"])
    with numbered_span("POST /shop", SpanKind.SERVER, attributes, parent) as span:
        # Printed lines become log records too.
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
    """Passes the parent in the event's headers, because a function does not see the headers of its invocation."""
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
    ledger.started(number)
    attributes = {**(attributes or {}), ledger.NUMBER: number}
    with tracer.start_as_current_span(name, parent, kind, attributes) as span:
        yield span


def log(severity, body):
    number = ledger.next_number()
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes={ledger.NUMBER: number},
        )
    )
    ledger.ended(number, "log")


def count(record, value, name):
    """Records each measurement as its own data point, by giving it a number as an attribute."""
    number = ledger.next_number()
    record(value, {ledger.NUMBER: number})
    ledger.ended(number, "data_point")
