"""PyPI otlp-stdout-span-exporter: one line with the spans of one order, and one with a single span."""

import made
import orders
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otlp_stdout_span_exporter import OTLPStdoutSpanExporter

provider = TracerProvider(resource=Resource.create({"service.name": "orders-python"}))
provider.add_span_processor(made.Spans())
provider.add_span_processor(BatchSpanProcessor(OTLPStdoutSpanExporter()))
tracer = provider.get_tracer("orders/http", "1.2.3")
orders.take(tracer)
provider.force_flush()
with tracer.start_as_current_span("alone"):
    pass
provider.shutdown()
