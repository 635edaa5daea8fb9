//! Changes of documents in buckets and tables of any source (semantic conventions 1.44, `docs/faas/faas-spans.md`).

use super::description::{Excerpt, Table};
use super::messages::name_of_destination;
use super::span_attributes::{SpanAttributes, TriggerType};
use opentelemetry::KeyValue;
use settings::percent_decoded;

#[derive(Clone, Debug, Default)]
pub(super) struct DocumentChange<'a> {
    /// The name or the ARN of the bucket or table.
    pub(super) collection: Option<&'a str>,
    /// The source's name of the change: `ObjectCreated:Put`, `MODIFY`.
    pub(super) event_name: &'a str,
    /// The object's key.
    pub(super) name: Option<String>,
    /// In the format of [`rfc3339`](super::times::rfc3339).
    pub(super) time: Option<String>,
}

/// The attributes for an event with these changes: values shared by all changes, and all values of a single one. `operations` are
/// the names of the changes' kinds.
pub(super) fn describe_changes<'a>(
    operations: Table<Excerpt>,
    changes: impl IntoIterator<Item = DocumentChange<'a>>,
) -> SpanAttributes {
    let mut changes = changes.into_iter();
    let first = changes.next().unwrap_or_default();
    let operation_of = |change: &DocumentChange<'_>| operation(operations, change.event_name);
    let mut is_alone = true;
    let mut is_one_place = true;
    let mut is_one_kind = true;
    for change in changes {
        is_alone = false;
        is_one_place &= change.collection == first.collection;
        is_one_kind &= operation_of(&change) == operation_of(&first);
    }
    let operation = operation_of(&first).filter(|_| is_one_kind);
    let collection = first.collection.filter(|_| is_one_place).and_then(name_of_destination);
    let texts = [
        ("faas.document.collection", collection.map(str::to_owned)),
        ("faas.document.operation", operation.map(str::to_owned)),
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

fn operation(operations: Table<Excerpt>, event_name: &str) -> Option<&'static str> {
    // Amazon S3's names occur with and without the prefix `s3:`.
    let name = event_name.strip_prefix("s3:").unwrap_or(event_name);
    operations.get(name.split(':').next()?).map(|operation| operation.as_str())
}

/// The name of an object from its key in an event, which is form-encoded (Amazon S3 User Guide, "Event message
/// structure").
pub(super) fn object_name(key: &str) -> String {
    percent_decoded(&key.replace('+', " "))
}
