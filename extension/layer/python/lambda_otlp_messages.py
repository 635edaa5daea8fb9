"""Links from an invocation to the spans that sent its messages by Amazon SQS or SNS: one for each message.

OpenTelemetry's instrumentation of Lambda links the messages of a queue whose attributes name their sender, in its later versions,
and neither the messages of a topic nor those that a topic has put into a queue.

Source: Lambda Developer Guide, "Using Lambda with Amazon SQS" and "… Amazon SNS", example events; Amazon SNS Developer Guide,
"Raw message delivery".
"""

import json

from opentelemetry import propagate, trace
from opentelemetry.context import Context

# The maximum number of links of a span in OpenTelemetry's SDK, which would keep the last ones of more.
MOST_LINKS = 128
MESSAGE_ID = "messaging.message.id"


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
    """The id of a message, and the context of the span that sent it, from its attributes."""
    notification = mapping(mapping(record).get("Sns"))
    if notification:
        return text(notification.get("MessageId")), headers(notification.get("MessageAttributes"), "Value")
    message_id = text(mapping(record).get("messageId"))
    own = headers(mapping(record).get("messageAttributes"), "stringValue")
    return message_id, own or headers(of_topic(mapping(record).get("body")), "Value")


def of_topic(body):
    """The attributes of a notification that a topic has put into a queue."""
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
