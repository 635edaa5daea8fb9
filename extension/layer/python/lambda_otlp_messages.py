"""Creates a CONSUMER span for an invocation's messages, below the invocation's span, with a link to the sender of each message.

OpenTelemetry's Lambda instrumentation creates such a span only for a queue, and links only messages that name their sender in an
attribute. The Rust library and the Node layer read the same events: tests/fixtures/triggers.

Source: OpenTelemetry's semantic conventions, "Messaging spans" and "AWS Lambda"; exporter/src/handler/trigger.
"""

import base64
import json

from lambda_otlp_load import time
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# Maximum number of links of a span in OpenTelemetry's SDK. Beyond it, the SDK drops the oldest links.
MOST_LINKS = 128
MOST_HEADER_BYTES = 8192
MOST_BODY_BYTES = 256 * 1024
MESSAGE_ID = "messaging.message.id"
# OpenObserve rejects spans older than five hours.
LONGEST_WAIT_NS = 4 * 60 * 60 * 1_000_000_000
W3C = TraceContextTextMapPropagator()


class Source:
    """A source of messages: its system, and the paths of a message's id, destination, headers and body."""

    def __init__(self, system, id="", destination="", headers=(), body="", is_base64=False, trigger="pubsub", messages=""):
        self.system, self.trigger, self.messages, self.is_base64 = system, trigger, messages, is_base64
        self.id, self.destination, self.body = id.split(), destination.split(), body.split()
        self.headers = [each.split() for each in headers]


SOURCES = {
    "aws:sqs": Source("aws_sqs", "messageId", "eventSourceARN", ("messageAttributes", "attributes"), "body"),
    "aws:sns": Source("aws.sns", "Sns MessageId", "Sns TopicArn", ("Sns MessageAttributes",), "Sns Message"),
    "aws:kinesis": Source("aws_kinesis", "eventID", "eventSourceARN", (), "kinesis data", is_base64=True),
    "aws:ses": Source("aws_ses", "ses mail messageId", "eventSourceARN"),
    "aws:s3": Source("aws_s3", "", "s3 bucket name", trigger="datasource"),
    "aws:kafka": Source("kafka", "", "topic", ("headers",), "value", is_base64=True, messages="records"),
    "aws:mq": Source("activemq", "messageID", "destination physicalName", ("properties",), "data", is_base64=True, messages="messages"),
    "aws:rmq": Source("rabbitmq", "basicProperties messageId", "", ("basicProperties headers",), "data", is_base64=True, messages="rmqMessagesByQueue"),
    "aws:firehose": Source("aws_firehose", "recordId", "", (), "data", is_base64=True, messages="records"),
}
BUS = Source("aws_eventbridge", "id", "source")


def batch(event):
    """Returns the messages of an event with their destinations, and their source. The source is `None` if there are none."""
    records = event if isinstance(event, list) else mapping(event).get("Records")
    if isinstance(records, list):
        records = [mapping(record) for record in records]
        source = SOURCES.get(at(records[:1] and records[0], ["eventSource"]) or at(records[:1] and records[0], ["EventSource"]))
        return ([(record, at(record, source.destination)) for record in records], source) if source else ([], None)
    event = mapping(event)
    if is_scheduled(event) or not isinstance(event.get("source"), str) or "detail-type" not in event:
        return batch_of_source(event)
    return [(event, event["source"])], BUS


def batch_of_source(event):
    name = event.get("eventSource")
    source = SOURCES.get("aws:firehose" if "deliveryStreamArn" in event else "aws:kafka" if name == "SelfManagedKafka" else text(name))
    if source is None or not source.messages:
        return [], None
    found = event.get(source.messages)
    lists = found.items() if isinstance(found, dict) else [("", found)]
    of_event = text(event.get("deliveryStreamArn"))
    records = [(mapping(record), of_event or at(record, source.destination) or key.partition("::")[0]) for key, each in lists if isinstance(each, list) for record in each]
    return (records, source) if records else ([], None)


def is_scheduled(event):
    return event.get("source") in ("aws.events", "aws.scheduler") and "detail-type" in event


def describe(event):
    """Returns the name and the attributes of the span of an event's messages, and its trigger."""
    records, source = batch(event)
    if source is None:
        return None, {}, "timer" if is_scheduled(mapping(event)) else None
    destinations = {destination for _, destination in records}
    destination = name_of(destinations.pop()) if len(destinations) == 1 else ""
    attributes = {"messaging.system": source.system, "messaging.operation.type": "process", "messaging.operation.name": "process"}
    if destination:
        attributes["messaging.destination.name"] = destination
    if len(records) > 1:
        attributes["messaging.batch.message_count"] = len(records)
    else:
        attributes.update(own_attributes(records[0][0], source))
    return f"{destination or 'multiple_sources'} process", attributes, source.trigger


def consumer(event):
    """Starts the span of an event's messages. Returns `None` if it has none, or if the instrumentation has created the span."""
    # Only recording spans have a kind.
    current = trace.get_current_span()
    kind = getattr(current, "kind", None)
    name, attributes, trigger = describe(event)
    if kind == trace.SpanKind.SERVER and trigger:
        current.set_attribute("faas.trigger", trigger)
    if name is None:
        return None
    if kind == trace.SpanKind.CONSUMER:
        current.update_name(name)
        current.set_attributes(attributes)
        return None
    if kind != trace.SpanKind.SERVER:
        return None
    return trace.get_tracer("lambda-otlp/handler").start_span(name, kind=trace.SpanKind.CONSUMER, attributes=attributes)


def wait(event):
    """Creates a span for the time that a request or message waited at API Gateway, SQS or EventBridge.

    The span starts at the time in the event.
    """
    current, now = trace.get_current_span(), time.time_ns()
    records, _ = batch(event)
    began = received_ns(event)
    if began is None or not 0 <= now - began <= LONGEST_WAIT_NS:
        return
    sources = {name_of(destination) for _, destination in records}
    name = "HTTP" if not records else len(sources) == 1 and sources.pop() or "multiple_sources"
    # The parent is the invocation's span, not the messages' span.
    if getattr(current, "kind", None) == trace.SpanKind.CONSUMER and current.parent is not None:
        current = trace.NonRecordingSpan(current.parent)
    tracer = trace.get_tracer("lambda-otlp/handler")
    attributes = {"lambda_otlp.inferred": True}
    tracer.start_span(f"{name} wait", trace.set_span_in_context(current), start_time=began, attributes=attributes).end(now)


def received_ns(event):
    """Returns the time at which AWS's service received the request or the oldest message, or `None` if the event has none."""
    request = mapping(mapping(event).get("requestContext"))
    milliseconds = request.get("timeEpoch") or request.get("requestTimeEpoch")
    records, source = batch(event)
    try:
        if source is SOURCES["aws:sqs"]:
            sent = [at(record, ["attributes", "SentTimestamp"]) for record, _ in records]
            milliseconds = min((int(sent) for sent in sent if sent.isascii() and sent.isdigit()), default=None)
        if source is BUS and (sent := text(event.get("time"))):
            from datetime import datetime

            milliseconds = int(datetime.fromisoformat(sent.replace("Z", "+00:00")).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return milliseconds * 1_000_000 if isinstance(milliseconds, int) else None


def name_of(source):
    """Returns `orders` for `arn:aws:sqs:region:account:orders` and for `arn:aws:kinesis:region:account:stream/orders`."""
    return source.replace("/", ":").split(":")[-1] if source.startswith("arn:") else source


def link(event, span):
    """Adds the links that the span does not have yet. Notifications and events of a bus have their sender as the invocation's parent."""
    records, source = batch(event)
    if source is None or source in (BUS, SOURCES["aws:sns"]):
        return
    linked = {key_of(link.context, link.attributes or {}) for link in getattr(span, "links", ())}
    for record, _ in records:
        if len(linked) >= MOST_LINKS:
            return
        attributes = own_attributes(record, source)
        context = context_of(sender(record, source))
        key = key_of(context, attributes)
        if context.is_valid and key not in linked:
            linked.add(key)
            span.add_link(context, attributes)


def key_of(context, attributes):
    return context.trace_id, context.span_id, attributes.get(MESSAGE_ID, ""), attributes.get("messaging.kafka.offset")


def own_attributes(record, source):
    """Returns the attributes that identify a message. Kafka's records have no id."""
    found = {MESSAGE_ID: at(record, source.id)}
    if source.system == "kafka" and isinstance(record.get("partition"), int):
        found["messaging.destination.partition.id"] = str(record["partition"])
    if source.system == "kafka" and isinstance(record.get("offset"), int):
        found["messaging.kafka.offset"] = record["offset"]
    return {name: value for name, value in found.items() if value != ""}


def parent_headers(event):
    """Returns the headers with an invocation's parent: of a notification, of an event of a bus, or of a request to AppSync."""
    records, source = batch(event)
    if source is BUS:
        return headers_of_json(event.get("detail"))
    if source is not None:
        return sender(records[0][0], source) if source is SOURCES["aws:sns"] else {}
    first = event[0] if isinstance(event, list) and event else event
    found = mapping(mapping(mapping(first).get("request")).get("headers"))
    return {name.lower(): value for name, value in found.items() if isinstance(value, str)}


def context_of(carrier):
    xray = carrier.get("x-amzn-trace-id")
    return xray_context(xray) if xray else trace.get_current_span(W3C.extract(carrier, Context())).get_span_context()


def xray_context(header):
    fields = dict(field.strip().partition("=")[::2] for field in header.split(";"))
    try:
        _, time, rest = fields["Root"].split("-")
        flags = trace.TraceFlags(fields.get("Sampled") == "1")
        return trace.SpanContext(int(time + rest, 16), int(fields["Parent"], 16), True, flags)
    except (KeyError, ValueError):
        return trace.INVALID_SPAN_CONTEXT


def sender(record, source):
    """Returns the headers of a message's sender: its own, or else those in its body, or else X-Ray's."""
    places = [value_at(record, path) for path in source.headers]
    found = carrier(lambda name: next(filter(None, (header_in(place, name) for place in places)), None))
    if context_of(found).is_valid:
        return found
    body = text(value_at(record, source.body)) if source.body else ""
    if body and source.is_base64 and len(body) // 4 * 3 <= MOST_BODY_BYTES:
        try:
            body = base64.b64decode(body, validate=True).decode()
        except ValueError:
            body = ""
    found = headers_of_body(body)
    if context_of(found).is_valid:
        return found
    xray = next(filter(None, (header_in(place, "AWSTraceHeader") for place in places)), None)
    return {"x-amzn-trace-id": xray} if xray else {}


def headers_of_body(body):
    """Returns W3C's headers in the JSON of a body, also within the envelopes of Amazon SNS and EventBridge."""
    # Few messages contain them. The others are not parsed.
    if len(body) > MOST_BODY_BYTES or "traceparent" not in body:
        return {}
    try:
        message = mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}
    return (
        carrier(lambda name: header_in(message.get("MessageAttributes"), name))
        or headers_of_body(text(message.get("Message")))
        or headers_of_json(message.get("detail"))
        or headers_of_json(message)
    )


def headers_of_json(value):
    """Returns W3C's headers in a JSON object: under `headers`, under `_datadog`, or at its top level."""
    places = (mapping(value).get("headers"), mapping(value).get("_datadog"), value)
    place = next((place for place in places if "traceparent" in mapping(place)), None)
    return carrier(lambda name: header_in(place, name))


def header_in(headers, name):
    """Returns a header in a map, or the last one in Kafka's list of maps. Its value is text, bytes, or an object with one of them."""
    if isinstance(headers, list):
        headers = next((each for each in reversed(headers) if name in mapping(each)), None)
    value = mapping(headers).get(name)
    if isinstance(value, dict):
        value = next((value[kind] for kind in ("stringValue", "Value", "bytes") if kind in value), None)
    if isinstance(value, list) and len(value) <= MOST_HEADER_BYTES and all(type(byte) is int for byte in value):
        # Lambda writes signed integers.
        value = bytes(byte & 255 for byte in value).decode(errors="replace")
    return value if isinstance(value, str) and len(value) <= MOST_HEADER_BYTES else None


def carrier(value):
    found = {name: value(name) for name in ("traceparent", "tracestate", "baggage")}
    return {name: each for name, each in found.items() if each}


def value_at(value, path):
    for name in path:
        value = mapping(value).get(name)
    return value


def at(value, path):
    return text(value_at(value, path)) if path else ""


def mapping(value):
    return value if isinstance(value, dict) else {}


def text(value):
    return value if isinstance(value, str) else ""
