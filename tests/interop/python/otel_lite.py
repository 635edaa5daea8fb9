"""PyPI lambda-otel-lite: traced invocations that succeed and fail."""

import made
import orders
from lambda_otel_lite import create_traced_handler, init_telemetry
from lambda_otel_lite.extractors import api_gateway_v2_extractor
from lambda_otel_lite.processor import LambdaSpanProcessor
from otlp_stdout_span_exporter import OTLPStdoutSpanExporter

tracer, completion_handler = init_telemetry(span_processors=[made.Spans(), LambdaSpanProcessor(OTLPStdoutSpanExporter())])


@create_traced_handler("orders", completion_handler, attributes_extractor=api_gateway_v2_extractor)
def handler(event, context):
    orders.take(tracer)
    if event["rawPath"] == "/fail":
        raise ValueError("the order cannot be fulfilled")
    return {"statusCode": 201}


class Context:
    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:orders"


for path in ("/orders", "/fail", "/orders"):
    event = {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "headers": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        "requestContext": {"http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9"}},
    }
    try:
        handler(event, Context())
    except ValueError:
        pass
