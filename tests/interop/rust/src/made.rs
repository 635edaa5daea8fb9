//! Turns a span of OpenTelemetry's SDK for Rust into the item that the checks compare; compiled once for each version of
//! the SDK, which the parent module names.

use super::api::trace::{SpanKind, Status};
use super::api::{Array, KeyValue, Value};
use super::sdk::trace::SpanData;
use serde_json::{Map, Value as Json, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn span(span: &SpanData, service: &str) -> Json {
    let (status, message) = match &span.status {
        Status::Unset => (0, ""),
        Status::Ok => (1, ""),
        Status::Error { description } => (2, description.as_ref()),
    };
    let events = span.events.events.iter().map(|event| {
        json!({
            "name": event.name,
            "time": nanoseconds(event.timestamp),
            "attributes": attributes(&event.attributes),
        })
    });
    let links = span.links.links.iter().map(|link| {
        json!({
            "trace_id": link.span_context.trace_id().to_string(),
            "span_id": link.span_context.span_id().to_string(),
            "attributes": attributes(&link.attributes),
        })
    });
    let parent_span_id = span.parent_span_id.to_string();
    json!({
        "signal": "span",
        "service": service,
        "scope": span.instrumentation_scope.name(),
        "trace_id": span.span_context.trace_id().to_string(),
        "span_id": span.span_context.span_id().to_string(),
        "parent_span_id": if parent_span_id == "0000000000000000" { "" } else { &parent_span_id },
        "name": span.name,
        "kind": match span.span_kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        "start": nanoseconds(span.start_time),
        "end": nanoseconds(span.end_time),
        "status": status,
        "message": message,
        "attributes": attributes(&span.attributes),
        "events": events.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
    })
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn attributes(attributes: &[KeyValue]) -> Map<String, Json> {
    attributes.iter().map(|pair| (pair.key.to_string(), value(&pair.value))).collect()
}

fn value(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::String(value) => json!(value.as_str()),
        Value::Array(Array::Bool(values)) => json!(values),
        Value::Array(Array::I64(values)) => json!(values),
        Value::Array(Array::F64(values)) => json!(values),
        Value::Array(Array::String(values)) => {
            values.iter().map(super::api::StringValue::as_str).collect()
        }
        other => json!(format!("{other:?}")),
    }
}
