//! Changes of documents in buckets and tables of any source (semantic conventions 1.44, `docs/faas/faas-spans.md`).

use super::messages::process;
use super::span_attributes::{SpanAttributes, TriggerType};
use opentelemetry::KeyValue;
use settings::percent_decoded;

#[derive(Clone, Debug, Default)]
pub(super) struct Change<'a> {
    /// The bucket or table.
    pub(super) collection: Option<&'a str>,
    /// The source's name of the change: `ObjectCreated:Put`, `MODIFY`.
    pub(super) event_name: &'a str,
    /// The object's key.
    pub(super) name: Option<String>,
    /// In the format of [`time`].
    pub(super) time: Option<String>,
}

/// The attributes for an event with these changes: values shared by all changes, and all values of a single one.
pub(super) fn changes<'a>(changes: impl IntoIterator<Item = Change<'a>>) -> SpanAttributes {
    let mut changes = changes.into_iter();
    let first = changes.next().unwrap_or_default();
    let (mut is_alone, mut is_one_place, mut is_one_kind) = (true, true, true);
    for change in changes {
        is_alone = false;
        is_one_place &= change.collection == first.collection;
        is_one_kind &= operation(change.event_name) == operation(first.event_name);
    }
    let texts = [
        ("faas.document.collection", first.collection.filter(|_| is_one_place).map(str::to_owned)),
        (
            "faas.document.operation",
            operation(first.event_name).filter(|_| is_one_kind).map(str::to_owned),
        ),
        ("faas.document.name", first.name.filter(|_| is_alone)),
        ("faas.document.time", first.time.filter(|_| is_alone)),
    ];
    let attributes = texts.into_iter().filter_map(|(key, text)| Some(KeyValue::new(key, text?)));
    SpanAttributes {
        attributes: attributes.collect(),
        trigger: TriggerType::Datasource,
        ..SpanAttributes::default()
    }
}

/// The attributes for an event of Amazon S3, which are also those of messages from the bucket.
pub(super) fn objects<'a>(records: impl IntoIterator<Item = Change<'a>>) -> SpanAttributes {
    let mut described = changes(records);
    let is_bucket = |own: &&KeyValue| own.key.as_str() == "faas.document.collection";
    let bucket = described.attributes.iter().find(is_bucket).map(|own| own.value.clone());
    described.attributes.extend(process("aws_s3"));
    described
        .attributes
        .extend(bucket.map(|name| KeyValue::new("messaging.destination.name", name)));
    described
}

fn operation(event_name: &str) -> Option<&'static str> {
    // Amazon S3's names occur with and without the prefix `s3:`.
    let name = event_name.strip_prefix("s3:").unwrap_or(event_name);
    match name.split(':').next()? {
        "INSERT" | "ObjectCreated" => Some("insert"),
        "MODIFY" => Some("edit"),
        "REMOVE" | "ObjectRemoved" | "LifecycleExpiration" => Some("delete"),
        _ => None,
    }
}

/// The name of an object from its key in an event, which is form-encoded (Amazon S3 User Guide, "Event message
/// structure").
pub(super) fn object_name(key: &str) -> String {
    percent_decoded(&key.replace('+', " "))
}

/// Formats a time: RFC 3339 in UTC, with milliseconds.
pub(super) fn time(text: &str) -> Option<String> {
    wire::timestamp::parse(text).map(wire::timestamp::rfc3339_millis)
}
