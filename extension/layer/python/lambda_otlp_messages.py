"""Creates a CONSUMER span for an invocation's messages, below the invocation's span, with a link to the sender of each message.

Later versions of OpenTelemetry's Lambda instrumentation create such a span for a queue, and link messages that name their sender in
an attribute. They create none for other sources, and do not link messages that a topic has put into a queue.

Source: OpenTelemetry's semantic conventions, "Messaging spans" and "AWS Lambda"; exporter/src/handler/trigger/messages.rs; Lambda
Developer Guide, "Using Lambda with Amazon SQS" and "… Amazon SNS", example events; Amazon SNS Developer Guide, "Raw message delivery".
"""

import json
import time

from opentelemetry import propagate, trace
from opentelemetry.context import Context

# Maximum number of links of a span in OpenTelemetry's SDK. Beyond it, the SDK drops the oldest links.
MOST_LINKS = 128
MESSAGE_ID = "messaging.message.id"
# OpenObserve rejects spans older than five hours.
LONGEST_WAIT_NS = 4 * 60 * 60 * 1_000_000_000
NO_MESSAGES = [], None, None, None


def consumer(event):
    """Starts the span of an event's messages. Returns `None` if it has none, or if the instrumentation has created the span."""
    # Only recording spans have a kind.
    kind = getattr(trace.get_current_span(), "kind", None)
    records, system, source, message_id = batch(mapping(event))
    if kind != trace.SpanKind.SERVER or not records:
        return None
    sources = {source(record) for record in records}
    destination = name_of(text(sources.pop())) if len(sources) == 1 else ""
    attributes = {"messaging.system": system, "messaging.operation.type": "process", "messaging.operation.name": "process"}
    if destination:
        attributes["messaging.destination.name"] = destination
    if len(records) > 1:
        attributes["messaging.batch.message_count"] = len(records)
    elif message := message_id(records[0]):
        attributes[MESSAGE_ID] = message
    name = f"{destination or 'multiple_sources'} process"
    return trace.get_tracer("lambda-otlp/handler").start_span(name, kind=trace.SpanKind.CONSUMER, attributes=attributes)


def wait(event):
    """Creates a span for the time that a request or message waited at API Gateway, SQS or EventBridge.

    The span starts at the time in the event.
    """
    current, now = trace.get_current_span(), time.time_ns()
    records, _, source, _ = batch(mapping(event))
    began = received_ns(mapping(event))
    if began is None or not 0 <= now - began <= LONGEST_WAIT_NS:
        return
    sources = {name_of(source(record)) for record in records}
    name = "HTTP" if not records else len(sources) == 1 and sources.pop() or "multiple_sources"
    # The parent is the invocation's span, not the messages' span.
    if getattr(current, "kind", None) == trace.SpanKind.CONSUMER and current.parent is not None:
        current = trace.NonRecordingSpan(current.parent)
    tracer = trace.get_tracer("lambda-otlp/handler")
    attributes = {"lambda_otlp.inferred": True}
    tracer.start_span(f"{name} wait", trace.set_span_in_context(current), start_time=began, attributes=attributes).end(now)


def received_ns(event):
    """Returns the time at which AWS's service received the request or the oldest message, or `None` if the event has none."""
    request = mapping(event.get("requestContext"))
    milliseconds = request.get("timeEpoch") or request.get("requestTimeEpoch")
    records, system, _, _ = batch(event)
    try:
        if system == "aws_sqs":
            sent = [text(mapping(record.get("attributes")).get("SentTimestamp")) for record in records]
            milliseconds = min((int(sent) for sent in sent if sent.isascii() and sent.isdigit()), default=None)
        if system == "aws_eventbridge" and (sent := text(event.get("time"))):
            from datetime import datetime

            milliseconds = int(datetime.fromisoformat(sent.replace("Z", "+00:00")).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return milliseconds * 1_000_000 if isinstance(milliseconds, int) else None


def batch(event):
    """Returns the messages of an event, their system, and readers of a message's source and id."""
    records = event.get("Records")
    if isinstance(records, list) and records:
        records = [mapping(record) for record in records]
        name = records[0].get("eventSource") or records[0].get("EventSource")
        if isinstance(name, str) and name in SOURCES:
            return records, *SOURCES[name]
        return NO_MESSAGES
    if event.get("eventSource") in ("aws:kafka", "SelfManagedKafka"):
        lists = filter(is_list, mapping(event.get("records")).values())
        return [mapping(record) for records in lists for record in records], "kafka", member("topic"), member()
    is_scheduled = event.get("source") in ("aws.events", "aws.scheduler")
    if isinstance(event.get("source"), str) and "detail-type" in event and not is_scheduled:
        return [event], "aws_eventbridge", member("source"), member("id")
    return NO_MESSAGES


def is_list(value):
    return isinstance(value, list)


def member(*path):
    """Returns a reader of the text at this path."""

    def read(value):
        for name in path:
            value = mapping(value).get(name)
        return text(value)

    return read


SOURCES = {
    "aws:sqs": ("aws_sqs", member("eventSourceARN"), member("messageId")),
    "aws:sns": ("aws.sns", member("Sns", "TopicArn"), member("Sns", "MessageId")),
    "aws:kinesis": ("aws_kinesis", member("eventSourceARN"), member("eventID")),
    "aws:s3": ("aws_s3", member("s3", "bucket", "name"), member()),
}


def name_of(source):
    """Returns `orders` for `arn:aws:sqs:region:account:orders` and for `arn:aws:kinesis:region:account:stream/orders`."""
    return source.replace("/", ":").split(":")[-1] if source.startswith("arn:") else source


def link(records, span):
    """Adds the links that the span does not have yet."""
    linked = {key_of(link.context, (link.attributes or {}).get(MESSAGE_ID)) for link in getattr(span, "links", ())}
    for record in records:
        if len(linked) >= MOST_LINKS:
            return
        message_id, carrier = sender(record)
        if not carrier:
            continue
        context = trace.get_current_span(propagate.extract(carrier, Context())).get_span_context()
        key = key_of(context, message_id)
        if context.is_valid and key not in linked:
            linked.add(key)
            span.add_link(context, {MESSAGE_ID: message_id})


def key_of(context, message_id):
    return context.trace_id, context.span_id, message_id


def sender(record):
    """Returns the id of a message, and the attributes that carry the sender's context."""
    notification = mapping(mapping(record).get("Sns"))
    if notification:
        return text(notification.get("MessageId")), headers(notification.get("MessageAttributes"), "Value")
    message_id = text(mapping(record).get("messageId"))
    own = headers(mapping(record).get("messageAttributes"), "stringValue")
    return message_id, own or headers(of_topic(mapping(record).get("body")), "Value")


def of_topic(body):
    """Returns the attributes of a notification that a topic has put into a queue."""
    if not isinstance(body, str) or '"MessageAttributes"' not in body:
        return None
    try:
        return mapping(json.loads(body)).get("MessageAttributes")
    except ValueError:
        return None


def headers(attributes, member):
    found = {name.lower(): mapping(attribute).get(member) for name, attribute in mapping(attributes).items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def mapping(value):
    return value if isinstance(value, dict) else {}


def text(value):
    return value if isinstance(value, str) else ""
