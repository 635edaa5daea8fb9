//! Values that JSON lacks, as text: OpenObserve would store an empty text, a list of numbers, or nothing.
//!
//! [`to_text`] changes decoded values. [`needs_text`] says of an encoded value whether there is something to change. [`text_value`] and
//! [`text_attribute`] make values of text.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use wire::Depth;
use wire::field::any_value;
use wire::protobuf::Value::{Fixed64, Len};
use wire::protobuf::{fields, messages};
use wire::view::{key_and_value, map_entries};

/// Returns `true` if a value is or holds one that [`value_to_text`] changes.
pub(super) fn needs_text(value: &[u8], levels: usize) -> bool {
    let below = |value: &[u8]| levels > 0 && needs_text(value, levels - 1);
    fields(value).any(|field| match (field.number, field.value) {
        (any_value::DOUBLE, Fixed64(bits)) => !f64::from_bits(bits).is_finite(),
        (any_value::BYTES, Len(_)) => true,
        (any_value::ARRAY, Len(array)) => messages(array, any_value::VALUES).any(below),
        _ => false,
    }) || map_entries(value).any(|entry| {
        let (key, value) = key_and_value(entry);
        key == NUMBER_TOKEN.as_bytes() || below(value)
    })
}

/// Writes values as text that JSON lacks, as OpenTelemetry represents them in other formats: bytes that are not UTF-8 in base64,
/// and `NaN`, `Infinity` and `-Infinity`.
///
/// Source: OpenTelemetry specification, "AttributeValue representation for non-OTLP protocols".
pub(super) fn to_text(attributes: &mut [KeyValue]) {
    values_to_text(attributes, Depth::OF_VALUES);
}

fn values_to_text(attributes: &mut [KeyValue], depth: Depth) {
    let values = attributes.iter_mut().filter_map(|attribute| attribute.value.as_mut());
    values.for_each(|value| value_to_text(value, depth));
}

/// The key by which serde_json marks numbers. As the key of a map's entry, OpenObserve takes the entry for a number, and loses
/// other texts.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

fn map_to_text(entries: &mut [KeyValue], depth: Depth) {
    for entry in entries.iter_mut().filter(|entry| entry.key == NUMBER_TOKEN) {
        entry.key = format!("attr_{NUMBER_TOKEN}");
    }
    values_to_text(entries, depth);
}

pub(super) fn value_to_text(value: &mut AnyValue, depth: Depth) {
    let Some(depth) = depth.below() else { return };
    let text = match &mut value.value {
        Some(Value::ArrayValue(array)) => {
            return array.values.iter_mut().for_each(|value| value_to_text(value, depth));
        }
        Some(Value::KvlistValue(map)) => return map_to_text(&mut map.values, depth),
        Some(Value::BytesValue(bytes)) => {
            String::from_utf8(std::mem::take(bytes)).unwrap_or_else(|error| {
                let mut text = Vec::new();
                wire::push_base64(&mut text, error.as_bytes());
                String::from_utf8(text).unwrap_or_default()
            })
        }
        Some(Value::DoubleValue(number)) if number.is_nan() => "NaN".to_owned(),
        Some(Value::DoubleValue(f64::INFINITY)) => "Infinity".to_owned(),
        Some(Value::DoubleValue(f64::NEG_INFINITY)) => "-Infinity".to_owned(),
        _ => return,
    };
    value.value = Some(Value::StringValue(text));
}

pub(super) fn text_attribute(key: &str, text: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text_value(text)), ..Default::default() }
}

pub(super) fn text_value(text: String) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text)) }
}
