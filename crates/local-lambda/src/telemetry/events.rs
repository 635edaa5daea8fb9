//! The events that subscribers get.

use crate::clock;
use crate::function::LogFormat;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Category {
    Platform,
    Function,
    Extension,
}

impl Category {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Function => "Function",
            Self::Extension => "Extension",
        }
    }

    /// The name as the API has it, which is the `type` of a log record too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// An event as subscribers get it.
#[derive(Debug, Clone)]
pub(crate) struct TelemetryEvent {
    pub(super) category: Category,
    pub(super) json: String,
}

impl TelemetryEvent {
    pub(crate) fn platform(json: String) -> Self {
        Self { category: Category::Platform, json }
    }

    /// The event `platform.logsDropped`, for records of a subscriber that were dropped.
    pub(super) fn logs_dropped(records: u64, bytes: usize, reason: &str) -> Self {
        let kind = "platform.logsDropped";
        let time = clock::now().rfc3339();
        let reason = serde_json::Value::from(reason);
        Self::platform(format!(
            r#"{{"time":"{time}","type":"{kind}","record":{{"droppedBytes":{bytes},"droppedRecords":{records},"reason":{reason}}}}}"#
        ))
    }
}

/// The event of a line. Under JSON format, a line that is an object is passed on as one (AWS Lambda "Telemetry API Event schema
/// reference").
pub(super) fn line_json(category: Category, text: &str, log_format: LogFormat) -> String {
    let object = (log_format == LogFormat::Json)
        .then(|| text.trim())
        .filter(|text| text.starts_with('{'))
        .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    let record = object.map_or_else(|| serde_json::Value::from(text).to_string(), str::to_owned);
    let time = clock::now().rfc3339();
    let kind = category.name();
    format!(r#"{{"time":"{time}","type":"{kind}","record":{record}}}"#)
}
