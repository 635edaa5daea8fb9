//! The JSON of Lambda's events.

use super::status::Status;
use crate::clock::Timestamp;
use crate::identifiers::TraceContext;
use serde::Serialize;
use std::time::Duration;

/// The members of a JSON object in Lambda's order; a `serde_json::Value` would sort them.
#[derive(Default)]
pub(super) struct Object {
    members: String,
}

impl Object {
    pub(super) fn with(self, key: &str, value: impl Serialize) -> Self {
        // Values are texts and numbers: nothing in them can fail to be written.
        self.with_json(key, &serde_json::to_string(&value).unwrap_or_default())
    }

    pub(super) fn with_some(self, key: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(super) fn with_object(self, key: &str, object: &Self) -> Self {
        self.with_json(key, &object.json())
    }

    fn with_json(mut self, key: &str, json: &str) -> Self {
        let comma = if self.members.is_empty() { "" } else { "," };
        self.members.extend([comma, "\"", key, "\":", json]);
        self
    }

    pub(super) fn with_status(self, status: &Status) -> Self {
        self.with("status", status.name()).with_some("errorType", status.error_type())
    }

    pub(super) fn with_tracing(self, trace: &TraceContext) -> Self {
        let tracing = Self::default()
            .with("spanId", &trace.segment)
            .with("type", "X-Amzn-Trace-Id")
            .with("value", &trace.header);
        self.with_object("tracing", &tracing)
    }

    pub(super) fn json(&self) -> String {
        format!("{{{}}}", self.members)
    }
}

/// The record of an invocation that has ended.
pub(super) fn end_record(
    request_id: &str,
    status: &Status,
    spans: &[Object],
    metrics: &Object,
    trace: &TraceContext,
) -> Object {
    let mut record = Object::default().with("requestId", request_id).with_status(status);
    if !spans.is_empty() {
        let elements: Vec<String> = spans.iter().map(Object::json).collect();
        record = record.with_json("spans", &format!("[{}]", elements.join(",")));
    }
    record.with_object("metrics", metrics).with_tracing(trace)
}

pub(super) fn span(name: &str, start: Timestamp, duration: Duration) -> Object {
    Object::default()
        .with("name", name)
        .with("start", start.rfc3339())
        .with("durationMs", milliseconds(duration))
}

/// Metrics with this duration.
pub(super) fn duration_metrics(duration: Duration) -> Object {
    Object::default().with("durationMs", milliseconds(duration))
}

/// Milliseconds with three decimals, as Lambda's events have them.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
