//! One telemetry event before it is addressed to a subscriber.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::category::Category;
use crate::clock::Timestamp;
use crate::function::LogFormat;

#[derive(Debug, Clone)]
pub(crate) struct Generated {
    pub(crate) kind: Arc<str>,
    pub(crate) category: Category,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// The whole event.
    Json(String),
    Line {
        time: Timestamp,
        text: String,
    },
}

impl Generated {
    pub(crate) fn platform(kind: &str, json: String) -> Self {
        Self { kind: kind.into(), category: Category::Platform, content: Content::Json(json) }
    }

    pub(crate) fn line(category: Category, time: Timestamp, text: String) -> Self {
        Self { kind: category.name().into(), category, content: Content::Line { time, text } }
    }

    /// Records of a subscriber were dropped, because it was too slow.
    pub(super) fn logs_dropped(records: u64, bytes: usize, time: Timestamp) -> Self {
        let (kind, time) = ("platform.logsDropped", time.rfc3339());
        let reason = "Some logs were dropped because the downstream consumer is slower than the logs production rate";
        Self::platform(
            kind,
            format!(
                r#"{{"time":"{time}","type":"{kind}","record":{{"droppedBytes":{bytes},"droppedRecords":{records},"reason":"{reason}"}}}}"#
            ),
        )
    }

    /// An injected event as it is, with its `type` if it has one.
    pub(crate) fn injected(json: String) -> Self {
        let value: Option<serde_json::Value> = serde_json::from_str(&json).ok();
        let kind = value.as_ref().and_then(|event| event.get("type")?.as_str());
        Self {
            kind: kind.unwrap_or("injected").into(),
            category: Category::Injected,
            content: Content::Json(json),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text().len()
    }

    /// The whole event, or the line.
    pub(super) fn text(&self) -> &str {
        match &self.content {
            Content::Json(text) | Content::Line { text, .. } => text,
        }
    }

    /// The event for subscribers. Under JSON format, a line that is an object is passed on as one (AWS Lambda "Telemetry API
    /// Event schema reference").
    pub(super) fn json(&self, log_format: LogFormat) -> String {
        let (time, text) = match &self.content {
            Content::Json(json) => return json.clone(),
            Content::Line { time, text } => (time, text),
        };
        let object = (log_format == LogFormat::Json)
            .then(|| text.trim())
            .filter(|text| text.starts_with('{'))
            .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
        let record = object
            .map_or_else(|| serde_json::Value::from(text.as_str()).to_string(), str::to_owned);
        format!(r#"{{"time":"{}","type":"{}","record":{record}}}"#, time.rfc3339(), self.kind)
    }
}
