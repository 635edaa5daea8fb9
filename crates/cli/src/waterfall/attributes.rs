//! What is read of spans and of attributes, for the eye.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// The scope of the spans and metrics that are made of what Lambda says.
pub(crate) const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
/// The scope of the extension's own figures.
pub(crate) const EXTENSION_SCOPE: &str = "lambda-otlp/extension";
pub(crate) const INVOCATION_ID: &str = "faas.invocation_id";

/// The value of this key, if it has one.
pub(crate) fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref().map(text)
}

pub(crate) fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

/// The duration of a span.
pub(crate) fn millis(span: &Span) -> f64 {
    millis_between(span.start_time_unix_nano, span.end_time_unix_nano)
}

/// The milliseconds between two times in nanoseconds; 0 if the second is before the first.
#[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
pub(crate) fn millis_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

/// Why a span failed: the message of its status, else its `error.type`; nothing where it did not.
pub(crate) fn why_failed(span: &Span) -> String {
    let Some(status) = span.status.as_ref().filter(|_| has_failed(span)) else {
        return String::new();
    };
    match status.message.trim() {
        "" => text_of(&span.attributes, "error.type").unwrap_or_default(),
        message => message.to_owned(),
    }
}

pub(crate) fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}
