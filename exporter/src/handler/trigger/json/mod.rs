//! Events as plain JSON, recognized by their shape. Any field may be missing or have another type.

use super::SpanAttributesExtractor;
use super::documents::{self, Change, changes, object_name, objects};
use super::messages::{bus_event, name_of_arn};
use super::sender::headers_of_json;
use super::span_attributes::SpanAttributes;
use http::{app_sync, headers, http};
use messages::{of_batch, of_records, one};
use opentelemetry::KeyValue;
use serde_json::Value;

mod http;
mod messages;

/// Recognizes the events of AWS's services by their structure. In other events it looks for a parent in `headers` and in
/// `request.headers`. Also describes a single message of a batch whose JSON names its source: SQS, SNS, Kinesis and Kafka.
impl SpanAttributesExtractor for Value {
    fn extract_span_attributes(&self) -> SpanAttributes {
        // Amazon EventBridge Pipes pass a list of records.
        let records = self.get("Records").unwrap_or(self).as_array();
        let of_shape = match records {
            Some(records) => records.first().and_then(|first| {
                of_records(first, records)
                    .or_else(|| of_changes(first, records))
                    .or_else(|| app_sync(first))
            }),
            None => bedrock_agent(self)
                .or_else(|| http(self))
                .or_else(|| of_bus(self))
                .or_else(|| of_batch(self))
                .or_else(|| one(self)),
        };
        of_shape.unwrap_or_else(|| {
            let places = [Some(self), self.get("request")];
            let mut headers_of =
                places.into_iter().filter_map(|place| Some(headers(place?.get("headers")?, None)));
            SpanAttributes { carrier: headers_of.next(), ..SpanAttributes::default() }
        })
    }
}

/// The changes of Amazon S3 and DynamoDB.
fn of_changes(first: &Value, records: &[Value]) -> Option<SpanAttributes> {
    let event_name = |record| str_of(record, "/eventName").unwrap_or_default();
    Some(match str_of(first, "/eventSource")? {
        "aws:dynamodb" => changes(records.iter().map(|record| Change {
            collection: str_of(record, "/eventSourceARN").and_then(name_of_arn),
            event_name: event_name(record),
            ..Change::default()
        })),
        source if source.starts_with("aws:s3") => objects(records.iter().map(|record| Change {
            collection: str_of(record, "/s3/bucket/name"),
            event_name: event_name(record),
            name: str_of(record, "/s3/object/key").map(object_name),
            time: time_of(record, "/eventTime"),
        })),
        _ => return None,
    })
}

fn of_bus(event: &Value) -> Option<SpanAttributes> {
    let (source, _) = (str_of(event, "/source")?, event.get("detail-type")?);
    let carrier = headers_of_json(event.get("detail")?);
    let described = bus_event(source, str_of(event, "/id"), time_of(event, "/time"));
    Some(SpanAttributes { carrier, ..described })
}

/// A call of an action group by an agent (Amazon Bedrock User Guide, "Configure Lambda functions to send information that an
/// Amazon Bedrock agent elicits from the user"; semantic conventions 1.44, `docs/gen-ai/gen-ai-spans.md`, "Execute tool span").
fn bedrock_agent(event: &Value) -> Option<SpanAttributes> {
    let agent = event.get("agent").filter(|_| event.get("actionGroup").is_some())?;
    let path = || Some(format!("{} {}", str_of(event, "/httpMethod")?, str_of(event, "/apiPath")?));
    let tool = text(event, "/function").or_else(path);
    let attributes = [
        ("gen_ai.operation.name", Some("execute_tool".to_owned())),
        ("gen_ai.tool.name", tool.clone()),
        ("gen_ai.agent.id", text(agent, "/id")),
        ("gen_ai.agent.name", text(agent, "/name")),
        ("gen_ai.conversation.id", text(event, "/sessionId")),
    ];
    let found = attributes.into_iter().filter_map(|(key, text)| Some(KeyValue::new(key, text?)));
    Some(SpanAttributes {
        attributes: found.collect(),
        span_name: tool.map(|tool| format!("execute_tool {tool}")),
        ..SpanAttributes::default()
    })
}

fn time_of(value: &Value, pointer: &str) -> Option<String> {
    str_of(value, pointer).and_then(documents::time)
}

fn str_of<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    str_of(value, pointer).map(str::to_owned)
}
