//! Attributes as text and numbers.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use wire::Depth;
use wire::ids::to_hex;

pub const INVOCATION_ID: &str = "faas.invocation_id";
/// The number of an item of the demo.
pub const NUMBER: &str = "demo.number";

/// An attribute as text.
#[derive(Debug, PartialEq, Eq)]
pub struct AttributeText {
    pub key: String,
    pub value: String,
}

pub(super) fn texts(attributes: &[KeyValue]) -> Vec<AttributeText> {
    let field = |KeyValue { key, value, .. }: &KeyValue| AttributeText {
        key: key.clone(),
        value: value.as_ref().map(value_text).unwrap_or_default(),
    };
    attributes.iter().map(field).collect()
}

/// Returns the number of the demo's item: `#7`; empty if there is none.
pub(super) fn item_number(attributes: &[KeyValue]) -> String {
    attribute_text(attributes, NUMBER).map_or_else(String::new, |number| format!("#{number}"))
}

/// Returns the value under a key, as text.
pub fn attribute_text(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref().map(value_text)
}

/// Returns the value under a key, if it is a number.
#[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
pub(super) fn numeric_attribute(attributes: &[KeyValue], key: &str) -> Option<f64> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value {
        Some(Value::DoubleValue(number)) => Some(number),
        Some(Value::IntValue(number)) => Some(number as f64),
        _ => None,
    }
}

/// Formats a value on one line.
pub fn value_text(value: &AnyValue) -> String {
    text_below(value, Depth::OF_VALUES)
}

fn text_below(value: &AnyValue, depth: Depth) -> String {
    let Some(depth_below) = depth.below() else { return "…".to_owned() };
    let inner = |value: &AnyValue| text_below(value, depth_below);
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::ArrayValue(array)) => {
            let values: Vec<String> = array.values.iter().map(&inner).collect();
            format!("[{}]", values.join(", "))
        }
        Some(Value::KvlistValue(map)) => {
            let entry = |entry: &KeyValue| {
                format!("{}: {}", entry.key, entry.value.as_ref().map(&inner).unwrap_or_default())
            };
            let entries: Vec<String> = map.values.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Some(Value::BytesValue(bytes)) => to_hex(bytes),
        _ => String::new(),
    }
}
