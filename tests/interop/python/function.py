"""A function for AWS's runtime client: OpenTelemetry's SDK sends three signals to the extension, or prints them."""

import os
import time

import made
import orders
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if os.environ.get("INTEROP_PRINTS"):
    from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter as LogExporter
    from opentelemetry.exporter.otlp.json.file.metric_exporter import FileMetricExporter as MetricExporter
    from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter as SpanExporter
elif os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as LogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as MetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as SpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as LogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as MetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as SpanExporter

SCOPE = "orders/python"


class NotingMetricExporter(MetricExporter):
    def export(self, metrics_data, *arguments, **options):
        made.metrics(metrics_data)
        return super().export(metrics_data, *arguments, **options)


resource = Resource.create({"service.name": "orders-function-python"})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(made.Spans())
tracers.add_span_processor(BatchSpanProcessor(SpanExporter()))
trace.set_tracer_provider(tracers)
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(made.Logs())
loggers.add_log_record_processor(BatchLogRecordProcessor(LogExporter()))
# Only flushes export: the interval is longer than the function lives.
reader = PeriodicExportingMetricReader(NotingMetricExporter(), export_interval_millis=3_600_000)
meters = MeterProvider(resource=resource, metric_readers=[reader])

tracer = tracers.get_tracer(SCOPE)
logger = loggers.get_logger(SCOPE)
meter = meters.get_meter(SCOPE)
items = meter.create_counter("orders.items", unit="{item}")
price = meter.create_histogram("orders.price", unit="EUR")
stock = meter.create_gauge("orders.stock")


def handler(event, context):
    number = event["number"]
    attributes = {"faas.invocation_id": context.aws_request_id, "number": number}
    with tracer.start_as_current_span("invocation", kind=trace.SpanKind.SERVER, attributes=attributes):
        orders.take(tracer)
        # A batch of 512 spans is printed as one line of half a megabyte, which Lambda splits.
        for child in range(600 if os.environ.get("INTEROP_PRINTS") and number == 2 else 0):
            with tracer.start_as_current_span(f"page-{child}", attributes={"page": child, "text": "é" * 100}):
                pass
        for line in range(5):
            logger.emit(
                LogRecord(
                    timestamp=time.time_ns(),
                    severity_number=SeverityNumber.WARN,
                    severity_text="WARN",
                    body=f"order {number} is late, line {line}",
                    attributes={"line": line, "ratio": 0.5},
                )
            )
        items.add(number, {"kind": "book"})
        price.record(9.125 + number, {"kind": "book"})
        stock.set(100.25 - number)
    flushed = [provider.force_flush() for provider in (tracers, loggers, meters)]
    if not all(flushed):
        raise RuntimeError("the extension did not accept all telemetry")
    return {"done": number}
