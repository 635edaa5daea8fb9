//! Messages as plain JSON: a table of the sources with the places of the values.

use super::str_of;
use crate::handler::trigger::messages::{Body, Header, Message, message, messages, notifications};
use crate::handler::trigger::sender::header_in;
use crate::handler::trigger::span_attributes::SpanAttributes;
use serde_json::Value;

/// A source of messages; places are JSON pointers into a message.
#[derive(Debug)]
struct Source {
    /// `eventSource`, of the messages or of the event.
    name: &'static str,
    system: &'static str,
    /// The place of the messages in an event of this source; empty if each message names its source.
    messages: &'static str,
    /// Empty if there is none.
    id: &'static str,
    /// The name or ARN of the queue, topic or stream, in the message or in the event; empty if it is the key of a list of
    /// messages.
    destination: &'static str,
    headers: &'static [&'static str],
    /// The place of the body.
    body: Option<Body<'static>>,
}

/// The pages of the Lambda Developer Guide on each service, and Amazon Data Firehose, "Transform source data".
const SOURCES: [Source; 8] = [
    Source {
        name: "aws:sqs",
        system: "aws_sqs",
        messages: "",
        id: "/messageId",
        destination: "/eventSourceARN",
        headers: &["/messageAttributes", "/attributes"],
        body: Some(Body::Text("/body")),
    },
    Source {
        name: "aws:sns",
        system: "aws.sns",
        messages: "",
        id: "/Sns/MessageId",
        destination: "/Sns/TopicArn",
        headers: &["/Sns/MessageAttributes"],
        body: Some(Body::Text("/Sns/Message")),
    },
    Source {
        name: "aws:kinesis",
        system: "aws_kinesis",
        messages: "",
        id: "/eventID",
        destination: "/eventSourceARN",
        headers: &[],
        body: Some(Body::Base64("/kinesis/data")),
    },
    Source {
        name: "aws:ses",
        system: "aws_ses",
        messages: "",
        id: "/ses/mail/messageId",
        destination: "/eventSourceARN",
        headers: &[],
        body: None,
    },
    Source {
        name: "aws:kafka",
        system: "kafka",
        messages: "/records",
        id: "",
        destination: "/topic",
        headers: &["/headers"],
        body: Some(Body::Base64("/value")),
    },
    Source {
        name: "aws:mq",
        system: "activemq",
        messages: "/messages",
        id: "/messageID",
        destination: "/destination/physicalName",
        headers: &["/properties"],
        body: Some(Body::Base64("/data")),
    },
    Source {
        name: "aws:rmq",
        system: "rabbitmq",
        messages: "/rmqMessagesByQueue",
        id: "/basicProperties/messageId",
        destination: "",
        headers: &["/basicProperties/headers"],
        body: Some(Body::Base64("/data")),
    },
    Source {
        name: "aws:firehose",
        system: "aws_firehose",
        messages: "/records",
        id: "/recordId",
        destination: "/deliveryStreamArn",
        headers: &[],
        body: Some(Body::Base64("/data")),
    },
];

/// A batch whose messages name their source.
pub(super) fn of_records(first: &Value, records: &[Value]) -> Option<SpanAttributes> {
    let source = source_of_message(first)?;
    let own = records.iter().map(|record| of_json(source, record, None));
    Some(match source.name {
        "aws:sns" => notifications(own),
        _ => messages(source.system, own),
    })
}

/// A batch that names the source of its messages.
pub(super) fn of_batch(event: &Value) -> Option<SpanAttributes> {
    let source = source_of_batch(event)?;
    let of_event = str_of(event, source.destination);
    // One list, or one for each queue or partition.
    let lists: Vec<(Option<&str>, &Value)> = match event.pointer(source.messages)? {
        Value::Object(lists) => {
            lists.iter().map(|(key, list)| (key.split("::").next(), list)).collect()
        }
        list => vec![(None, list)],
    };
    let records = lists.into_iter().flat_map(|(key, list)| {
        let destination = if source.destination.is_empty() { key } else { of_event };
        let records = list.as_array().into_iter().flatten();
        records.map(move |record| of_json(source, record, destination))
    });
    Some(messages(source.system, records))
}

pub(super) fn one(record: &Value) -> Option<SpanAttributes> {
    let source = source_of_message(record)?;
    Some(message(source.system, of_json(source, record, None)))
}

fn source_of_message(message: &Value) -> Option<&'static Source> {
    let name = str_of(message, "/eventSource").or_else(|| str_of(message, "/EventSource"));
    let of_shape = || {
        let is_notification = message.pointer("/Sns/TopicArn").is_some();
        let is_of_kafka = message.get("topic").is_some() && message.get("offset").is_some();
        is_notification.then_some("aws:sns").or(is_of_kafka.then_some("aws:kafka"))
    };
    named(name.or_else(of_shape)?)
}

fn source_of_batch(event: &Value) -> Option<&'static Source> {
    let of_shape = || {
        let is_of_firehose = event.get("deliveryStreamArn").is_some();
        let is_of_kafka = event.get("records").is_some_and(Value::is_object);
        is_of_firehose.then_some("aws:firehose").or(is_of_kafka.then_some("aws:kafka"))
    };
    let source = named(str_of(event, "/eventSource").or_else(of_shape)?)?;
    (!source.messages.is_empty()).then_some(source)
}

fn named(name: &str) -> Option<&'static Source> {
    let name = if name == "SelfManagedKafka" { "aws:kafka" } else { name };
    SOURCES.iter().find(|source| source.name == name)
}

/// The message with the `destination` that applies to all of the event's messages, or else its own.
fn of_json<'a>(
    source: &'static Source,
    record: &'a Value,
    destination: Option<&'a str>,
) -> Message<'a, impl Header<'a>> {
    let header = |name: &str| {
        let mut places = source.headers.iter().filter_map(|place| record.pointer(place));
        places.find_map(|headers| header_in(headers, name))
    };
    let number = |key| record.get(key).and_then(Value::as_i64);
    Message {
        id: str_of(record, source.id),
        destination: destination.or_else(|| str_of(record, source.destination)),
        partition: number("partition"),
        offset: number("offset"),
        sent_ms: str_of(record, "/attributes/SentTimestamp").and_then(|ms| ms.parse().ok()),
        body: source.body.and_then(|body| match body {
            Body::Text(place) => str_of(record, place).map(Body::Text),
            Body::Base64(place) => str_of(record, place).map(Body::Base64),
            #[cfg(feature = "kinesis")]
            Body::Bytes(_) => None,
        }),
        ..Message::new(header)
    }
}
