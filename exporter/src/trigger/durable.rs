//! The event of a durable function: an envelope around the event that started the execution.

use super::description::{DESCRIPTION, at, text_at};
use super::json::describe;
use super::span_attributes::SpanAttributes;
use super::times::unix_ms_at;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The durable execution to which an invocation belongs. All invocations of an execution are in one trace.
///
/// [`SpanAttributesExtractor`](super::SpanAttributesExtractor) for [`Value`] finds it. An event type of your own makes it with
/// [`new`](Self::new). It counts only if its ARN names the running function.
#[derive(Debug, Clone)]
pub struct DurableExecution {
    pub(crate) arn: String,
    /// The start of the execution, in milliseconds since the Unix epoch.
    pub(crate) started_ms: Option<u64>,
    /// `true` for the first invocation; `None` if unknown.
    pub(crate) is_first: Option<bool>,
    /// The description of the event that started the execution.
    pub(crate) input: Option<SpanAttributes>,
}

impl DurableExecution {
    /// The execution with this ARN (`DurableExecutionArn`).
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self { arn: arn.into(), started_ms: None, is_first: None, input: None }
    }

    /// Sets the start: `StartTimestamp` of the first operation. Without it, the invocations of an execution are traces of their own.
    #[must_use]
    pub fn with_start(mut self, start: SystemTime) -> Self {
        let since_epoch = start.duration_since(UNIX_EPOCH).ok();
        self.started_ms = since_epoch.and_then(|time| time.as_millis().try_into().ok());
        self
    }

    /// Reads the event of a durable function. `None` for other events.
    pub(super) fn from_event(event: &Value) -> Option<Self> {
        let places = &DESCRIPTION.durable;
        if !places.when.hold_for(event) {
            return None;
        }
        let input = text_at(event, places.input.as_str());
        let input: Value =
            input.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Some(Self {
            arn: text_at(event, places.arn.as_str())?.to_owned(),
            started_ms: unix_ms_at(event, places.started),
            is_first: Some(at(event, places.recorded.as_str()).is_none()),
            input: Some(describe(&input)),
        })
    }
}
