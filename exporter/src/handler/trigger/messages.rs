//! Messages of queues, topics and streams, from whichever source (semantic conventions 1.44, `docs/messaging/messaging-spans.md`).
//!
//! The invocation's span stays the SERVER span of the function; the spans that sent the messages are linked.

use super::links::{MOST_LINKS, Sender};
use super::span_attributes::{SpanAttributes, TriggerType};
use opentelemetry::KeyValue;

/// A message, as much of it as a span says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) id: Option<&'a str>,
    /// ARN of the queue, topic or stream.
    pub(super) source_arn: Option<&'a str>,
    pub(super) sender: Sender<'a>,
}

/// What the messages of one event add to its span.
pub(super) fn messages<'a>(
    system: &'static str,
    messages: impl IntoIterator<Item = Message<'a>>,
) -> SpanAttributes {
    let mut links = Vec::new();
    let (mut count, mut first, mut is_one_source) = (0_usize, Message::default(), true);
    for message in messages {
        if count == 0 {
            first = message;
        }
        count += 1;
        is_one_source &= message.source_arn == first.source_arn;
        // Of each message that is looked at the whole text may have to be read.
        if count <= MOST_LINKS {
            links.extend(message.sender.link());
        }
    }
    let mut attributes = vec![
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.operation.name", "process"),
    ];
    let name = first.source_arn.filter(|_| is_one_source).and_then(name_of_arn);
    attributes.extend(name.map(|name| KeyValue::new("messaging.destination.name", name)));
    match (count, first.id) {
        (1, Some(id)) => attributes.push(KeyValue::new("messaging.message.id", id.to_owned())),
        (1, None) => {}
        _ => {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("messaging.batch.message_count", count));
        }
    }
    SpanAttributes { attributes, links, trigger: TriggerType::PubSub, ..SpanAttributes::default() }
}

/// `orders` of `arn:aws:sqs:region:account:orders` and of `arn:aws:kinesis:region:account:stream/orders`.
pub(super) fn name_of_arn(arn: &str) -> Option<String> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let name = resource.split_once('/').map_or(resource, |(_, name)| name);
    let name = name.split('/').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

/// An event of Amazon EventBridge or its Scheduler: `source`, `id` and `time` as the event has them.
pub(super) fn bus_event(source: &str, id: Option<&str>, time: Option<String>) -> SpanAttributes {
    // "Creating an Amazon EventBridge rule that runs on a schedule"; EventBridge Scheduler, "Context attributes".
    if source == "aws.events" || source == "aws.scheduler" {
        let attributes = time.map(|time| KeyValue::new("faas.time", time));
        return SpanAttributes {
            attributes: attributes.into_iter().collect(),
            trigger: TriggerType::Timer,
            ..SpanAttributes::default()
        };
    }
    messages("aws_eventbridge", [Message { id, ..Message::default() }])
}
