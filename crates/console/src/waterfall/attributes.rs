//! Values of spans and attributes for display.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// The scope of the spans and metrics made from Lambda's reports.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
pub const EXTENSION_SCOPE: &str = "lambda-otlp/extension";
pub const INVOCATION_ID: &str = "faas.invocation_id";

pub fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref().map(text)
}

pub fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

pub fn millis(span: &Span) -> f64 {
    millis_between(span.start_time_unix_nano, span.end_time_unix_nano)
}

/// Returns the milliseconds between two times in nanoseconds; 0 if they are reversed.
#[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
pub fn millis_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

/// Returns the status message of a failed span, or its `error.type`; empty if the span did not fail.
pub fn why_failed(span: &Span) -> String {
    let Some(status) = span.status.as_ref().filter(|_| has_failed(span)) else {
        return String::new();
    };
    match status.message.trim() {
        "" => text_of(&span.attributes, "error.type").unwrap_or_default(),
        message => message.to_owned(),
    }
}

pub fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}
