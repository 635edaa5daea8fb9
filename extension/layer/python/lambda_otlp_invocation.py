"""Creates a SERVER span for each invocation, with the attributes of OpenTelemetry's Lambda instrumentation.

This module replaces that instrumentation in the fast start, because it takes long to import.

Source: OpenTelemetry's semantic conventions, "AWS Lambda" and "AWS Lambda, SQS"; opentelemetry-instrumentation-aws-lambda 0.66.
"""

import functools

from lambda_otlp_load import beside
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace.status import Status, StatusCode

# Scope and schema of that instrumentation. Functions with OpenTelemetry's SDK have the same in their spans.
SCOPE = "opentelemetry.instrumentation.aws_lambda"
SCHEMA = "https://opentelemetry.io/schemas/1.11.0"


def instrument(handler, provider, version, always_extracts):
    """Wraps the handler in a span. The caller handles errors raised before the handler's call.

    `version` is the version of OpenTelemetry's instrumentations. `always_extracts` is `True` if a propagator may find a parent
    outside the event.
    """
    tracer = provider.get_tracer(SCOPE, version, SCHEMA)
    parent_of = beside("lambda_otlp_wrap").parent_of

    @functools.wraps(handler, updated=())
    def instrumented(event, context, *others, **named):
        headers = headers_of(event)
        parent = parent_of(event, lambda _: extracted(headers) if headers or always_extracts else None)
        records = records_of_queue(event)
        trigger = of_event(event, headers, records)
        span = tracer.start_span(context.function_name, parent, trace.SpanKind.SERVER, {**of_invocation(context), **trigger})
        token = contexts.attach(trace.set_span_in_context(span, parent))
        try:
            if records is None:
                result = handler(event, context, *others, **named)
            else:
                name, attributes, links = of_queue(records)
                with tracer.start_as_current_span(name, kind=trace.SpanKind.CONSUMER, attributes=attributes, links=links):
                    result = handler(event, context, *others, **named)
            if trigger.get("faas.trigger") == "http" and isinstance(result, dict) and result.get("statusCode"):
                span.set_attribute("http.status_code", result["statusCode"])
            return result
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR))
            span.record_exception(error)
            raise
        finally:
            contexts.detach(token)
            span.end()
            provider.flush_invocation()

    return instrumented


def extracted(headers):
    from opentelemetry.propagate import get_global_textmap

    return get_global_textmap().extract(Headers((name.lower(), value) for name, value in headers.items() if isinstance(name, str)))


class Headers(dict):
    """Headers with lower-case keys and a case-insensitive `get`. X-Ray's propagator asks for `X-Amzn-Trace-Id`."""

    def get(self, name, default=None):
        return super().get(name.lower(), default)


def headers_of(event):
    if not isinstance(event, dict):
        return {}
    several = event.get("multiValueHeaders")
    several = several if isinstance(several, dict) else {}
    headers = event.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    return {**headers, **{name: values[0] for name, values in several.items() if isinstance(values, list) and values}}


def of_invocation(context):
    parts = context.invoked_function_arn.split(":")
    return {
        "cloud.account.id": parts[4],
        # The function's ARN without an alias or a version.
        "cloud.resource_id": ":".join(parts[:7]),
        "faas.invocation_id": context.aws_request_id,
    }


def of_event(event, headers, records):
    if records:
        return {"faas.trigger": "pubsub"}
    if not isinstance(event, dict) or not event.get("requestContext"):
        return {}
    found = {"faas.trigger": "http"}
    described = of_http_api(event) if event.get("version") == "2.0" else of_rest_api(event, headers)
    found.update({name: value for name, value in described.items() if value is not None})
    return found


def of_rest_api(event, headers):
    lower = {name.lower(): value for name, value in headers.items() if isinstance(name, str)}
    route = event.get("resource")
    target = route
    if route is not None and event.get("queryStringParameters"):
        from urllib.parse import urlencode

        target = f"{route}?{urlencode(event['queryStringParameters'])}"
    return {
        "http.method": event.get("httpMethod"),
        "http.user_agent": lower.get("user-agent"),
        "http.scheme": lower.get("x-forwarded-proto"),
        "net.host.name": lower.get("host"),
        "http.route": route,
        "http.target": target,
    }


def of_http_api(event):
    request = event["requestContext"]
    http = request.get("http") or {}
    path, query = http.get("path"), event.get("rawQueryString")
    return {
        "net.host.name": request.get("domainName"),
        "http.method": http.get("method"),
        "http.user_agent": http.get("userAgent"),
        "http.route": path,
        "http.target": f"{path}?{query}" if path is not None and query else path,
    }


def records_of_queue(event):
    records = event.get("Records") if isinstance(event, dict) else None
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = records[0].get("eventSource")
        if isinstance(source, str) and source.strip().lower() == "aws:sqs":
            return records
    return None


def of_queue(records):
    """Returns the name, attributes and links of the span for a queue's messages."""
    parts = str(records[0].get("eventSourceARN", "")).split(":")
    queue = parts[5] if len(parts) >= 6 else ":".join(parts)
    attributes = {
        "messaging.system": "aws_sqs",
        "messaging.destination.name": queue,
        "messaging.operation.type": "process",
    }
    if len(records) > 1:
        attributes["messaging.batch.message_count"] = len(records)
    links = [link for link in map(link_of, records) if link is not None]
    return f"process {queue}".strip(), attributes, links


def link_of(record):
    attributes = record.get("messageAttributes")
    if not attributes or not isinstance(attributes, dict):
        return None
    values = {name: value.get("stringValue") for name, value in attributes.items() if isinstance(value, dict)}
    context = extracted({name: value for name, value in values.items() if isinstance(value, str)})
    sender = trace.get_current_span(context).get_span_context()
    return trace.Link(sender, {"messaging.message.id": record.get("messageId", "")}) if sender.is_valid else None
