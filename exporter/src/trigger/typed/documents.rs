//! Changes of documents in Amazon S3 and Amazon DynamoDB.

use crate::trigger::SpanAttributesExtractor;
use crate::trigger::description::{DESCRIPTION, Excerpt, Table};
use crate::trigger::documents::{self, DocumentChange};
use crate::trigger::span_attributes::SpanAttributes;

#[cfg(feature = "dynamodb")]
impl SpanAttributesExtractor for aws_lambda_events::dynamodb::Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let records = self.records.iter().map(|record| DocumentChange {
            collection: record.event_source_arn.as_deref(),
            event_name: &record.event_name,
            ..DocumentChange::default()
        });
        documents::describe_changes(operations("DynamoDB"), records)
    }
}

#[cfg(feature = "s3")]
impl SpanAttributesExtractor for aws_lambda_events::s3::S3Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        use crate::trigger::messages::{self, IncomingMessage};
        let records = self.records.iter().map(|record| DocumentChange {
            collection: record.s3.bucket.name.as_deref(),
            event_name: record.event_name.as_deref().unwrap_or_default(),
            name: record.s3.object.key.as_deref().map(documents::object_name),
            time: crate::trigger::times::rfc3339(&record.event_time.to_rfc3339()),
        });
        let mut described = documents::describe_changes(operations("S3"), records);
        let objects = self.records.iter().map(|record| IncomingMessage {
            destination: record.s3.bucket.name.as_deref(),
            ..IncomingMessage::new(|_: &str| None)
        });
        described.attributes.extend(messages::describe_batch("aws_s3", objects).attributes);
        described
    }
}

/// The names of the kinds of changes of this source.
fn operations(source: &str) -> Table<Excerpt> {
    let records = DESCRIPTION.source(source).and_then(|source| source.records);
    let document = records.and_then(|records| records.document);
    document.map_or(Table::EMPTY, |document| document.operations)
}
