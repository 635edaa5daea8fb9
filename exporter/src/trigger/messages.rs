//! Messages of queues, topics and streams of any source (semantic conventions 1.44, `docs/messaging/messaging-spans.md`).
//!
//! Unless code sets the kind of the invocation's span, these attributes and links are those of a CONSUMER span below it.

use super::description::DESCRIPTION;
use super::sender::Sender;
use super::span_attributes::{SpanAttributes, TriggerType};
use super::times::time_of_unix_ms;
use opentelemetry::KeyValue;
use serde_json::Value;
use std::borrow::Cow;
use wire::arn::Arn;

/// A message of any source, which may lack some of these values.
pub(super) struct IncomingMessage<'a, H> {
    pub(super) id: Option<&'a str>,
    /// The name or the ARN of the queue, topic or stream.
    pub(super) destination: Option<&'a str>,
    /// The place of a Kafka record, which has no id.
    pub(super) partition: Option<i64>,
    pub(super) offset: Option<i64>,
    /// The time at which AWS's service received the message, in milliseconds since the Unix epoch. Not a header, which its
    /// sender may set.
    pub(super) received_ms: Option<u64>,
    /// The content, in which the sender, a topic or a bus may have put headers.
    pub(super) body: Option<Body<'a>>,
    /// The text of a header. Amazon SQS adds `AWSTraceHeader` if X-Ray traces the sender.
    pub(super) header: H,
}

pub(super) trait HeaderLookup<'a>: Fn(&str) -> Option<Cow<'a, str>> {}

impl<'a, F: Fn(&str) -> Option<Cow<'a, str>>> HeaderLookup<'a> for F {}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    Text(&'a str),
    Base64(&'a str),
    Object(&'a Value),
    #[cfg(feature = "kinesis")]
    Bytes(&'a [u8]),
}

impl<'a, H: HeaderLookup<'a>> IncomingMessage<'a, H> {
    pub(super) fn new(header: H) -> Self {
        let id = None;
        let destination = None;
        let partition = None;
        let offset = None;
        Self { id, destination, partition, offset, received_ms: None, body: None, header }
    }

    /// The attributes that identify it.
    fn own_attributes(&self) -> Vec<KeyValue> {
        let id = self.id.map(|id| KeyValue::new("messaging.message.id", id.to_owned()));
        let partition = self
            .partition
            .map(|number| KeyValue::new("messaging.destination.partition.id", number.to_string()));
        let offset = self.offset.map(|offset| KeyValue::new("messaging.kafka.offset", offset));
        [id, partition, offset].into_iter().flatten().collect()
    }
}

/// Describes the invocation for a batch of messages.
pub(super) fn describe_batch<'a, H: HeaderLookup<'a>>(
    system: &'static str,
    messages: impl IntoIterator<Item = IncomingMessage<'a, H>>,
) -> SpanAttributes {
    let mut links = Vec::new();
    let mut received_ms: Option<u64> = None;
    let mut count = 0_usize;
    let mut first = None;
    let mut destination = None;
    for message in messages {
        if count == 0 {
            destination = message.destination;
        }
        count += 1;
        destination = destination.filter(|first| message.destination == Some(*first));
        received_ms = received_ms.into_iter().chain(message.received_ms).min();
        // Looking for the sender may read the whole message. The SDK counts the links beyond its limit.
        if count <= DESCRIPTION.limits.links || !links.is_empty() {
            links.extend(Sender::of(&message).map(|sender| sender.link(message.own_attributes())));
        }
        first.get_or_insert(message);
    }
    let mut attributes = process_attributes(system).to_vec();
    let name = destination.and_then(name_of_destination);
    attributes
        .extend(name.map(|name| KeyValue::new("messaging.destination.name", name.to_owned())));
    if let Some(message) = first.filter(|_| count == 1) {
        attributes.extend(message.own_attributes());
    } else {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("messaging.batch.message_count", count));
    }
    SpanAttributes {
        attributes,
        links,
        trigger: TriggerType::PubSub,
        received_at: received_ms.and_then(time_of_unix_ms),
        ..SpanAttributes::default()
    }
}

fn process_attributes(system: &'static str) -> [KeyValue; 3] {
    [
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.operation.name", "process"),
    ]
}

/// Describes the invocation for a notification of Amazon SNS or an event of Amazon EventBridge. It arrives alone, and the
/// invocation continues the sender's trace.
pub(super) fn describe_notifications<'a, H: HeaderLookup<'a>>(
    system: &'static str,
    records: Vec<IncomingMessage<'a, H>>,
) -> SpanAttributes {
    let carrier = records.first().and_then(Sender::of).map(|sender| sender.carrier);
    SpanAttributes { carrier, links: Vec::new(), ..describe_batch(system, records) }
}

/// Describes a span for the work on one message.
pub(super) fn describe_message<'a>(
    system: &'static str,
    message: IncomingMessage<'a, impl HeaderLookup<'a>>,
) -> SpanAttributes {
    let destination = message.destination.and_then(name_of_destination);
    SpanAttributes {
        // "Messaging spans", "Span name".
        span_name: destination.map(|name| format!("process {name}")),
        carrier: Sender::of(&message).map(|sender| sender.carrier),
        ..describe_batch(system, [message])
    }
}

pub(super) fn name_of_destination(destination: &str) -> Option<&str> {
    match Arn::parse(destination) {
        Some(arn) => name_of_resource(arn.resource),
        None => Some(destination),
    }
}

/// `orders` of a queue's `orders` and of a stream's `stream/orders`.
fn name_of_resource(resource: &str) -> Option<&str> {
    let path = resource.split_once('/').map_or(resource, |(_, path)| path);
    let name = path.split('/').next().unwrap_or_default();
    (!name.is_empty()).then_some(name)
}
