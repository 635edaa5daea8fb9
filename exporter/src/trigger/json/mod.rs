//! Events as plain JSON, recognized by their description. Any field may be missing or have another type.

use super::SpanAttributesExtractor;
use super::description::{
    AttributePlace, Conversion, DESCRIPTION, DescribedSource, first_text, text_at,
};
use super::durable::DurableExecution;
use super::span_attributes::SpanAttributes;
use super::state_machine;
use super::template::{fill, span_name};
use super::times;
use http::{describe_request, headers_at};
use opentelemetry::KeyValue;
use records::EventRecords;
use serde_json::Value;

mod http;
mod records;

/// Recognizes the events of AWS's services by their structure. In other events it looks for a parent in `headers` and in
/// `request.headers`. Also describes a single message of a batch whose JSON names its source: SQS, SNS, Kinesis and Kafka.
impl SpanAttributesExtractor for Value {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let durable_execution = DurableExecution::from_event(self).map(Box::new);
        SpanAttributes { durable_execution, ..describe(self) }
    }
}

/// Describes an event that is no envelope.
pub(super) fn describe(event: &Value) -> SpanAttributes {
    let mut described = describe_source(event);
    if let Some(headers) = state_machine::headers(event) {
        described.carrier = Some(headers);
    }
    described
}

fn describe_source(event: &Value) -> SpanAttributes {
    let Some(Recognized { source, subject, records }) = recognize(event) else {
        let headers = headers_at(event, DESCRIPTION.headers);
        let carrier = (!headers.is_empty()).then_some(headers);
        return SpanAttributes { carrier, ..SpanAttributes::default() };
    };
    let headers = headers_at(subject, source.headers);
    let mut described = if let Some(places) = source.http {
        describe_request(places, subject, headers)
    } else {
        let carrier = (!headers.is_empty()).then_some(headers);
        SpanAttributes { carrier, ..SpanAttributes::default() }
    };
    described.trigger = source.trigger;
    described.received_at = times::time_at(subject, source.received);
    let attributes = source.attributes.iter();
    described.attributes.extend(attributes.filter_map(|(key, attribute)| {
        Some(KeyValue::new(key.as_str(), value_of(attribute, subject)?))
    }));
    if let Some(records) = records {
        records.describe(&mut described);
    }
    let name = span_name(source, subject, &described.attributes);
    described.span_name = name.or(described.span_name);
    described
}

/// An event with its source.
struct Recognized<'a> {
    source: &'static DescribedSource,
    /// What the source is recognized by: the event, or its first record.
    subject: &'a Value,
    records: Option<EventRecords<'a>>,
}

fn recognize(event: &Value) -> Option<Recognized<'_>> {
    // Amazon EventBridge Pipes pass a list of records, and AWS AppSync a list of requests.
    let list = event.get("Records").and_then(Value::as_array).or_else(|| event.as_array());
    let subject = match list {
        Some(list) => list.first()?,
        None => event,
    };
    let source = DESCRIPTION.source_of(subject)?;
    let records = match &source.records {
        Some(_) => Some(EventRecords::of(source, event, list)?),
        None => None,
    };
    Some(Recognized { source, subject, records })
}

/// Returns the value at the first of the attribute's places that has one, or else its text.
pub(crate) fn value_of(attribute: &AttributePlace, subject: &Value) -> Option<String> {
    let at_place = first_text(subject, attribute.at).map(str::to_owned);
    let text = at_place.or_else(|| {
        fill(attribute.text?.as_str(), |place| text_at(subject, place).map(str::to_owned))
    })?;
    match attribute.conversion {
        Some(Conversion::Time) => times::rfc3339(&text),
        None if attribute.names.is_empty() => Some(text),
        None => attribute.names.get(&text).map(|name| name.as_str().to_owned()),
    }
}
