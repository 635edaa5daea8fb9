//! Values that OpenObserve cannot store: bytes that are not UTF-8.

use super::fields::{ARRAY, ARRAY_VALUE, BYTES, MAP, MAP_ENTRY, fields, key_and_value};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use wire::protobuf::messages;

/// Deeper values are not searched; prost's own limit is 100 messages.
const MOST_LEVELS: usize = 64;

/// Returns `true` if a value is or holds bytes that [`to_text`] changes.
pub(super) fn has_bytes(value: &[u8]) -> bool {
    has_bytes_below(value, MOST_LEVELS)
}

fn has_bytes_below(value: &[u8], levels: usize) -> bool {
    let below = |value: &[u8]| levels > 0 && has_bytes_below(value, levels - 1);
    fields(value).any(|field| match (field.number, field.as_len()) {
        (BYTES, Some(bytes)) => std::str::from_utf8(bytes).is_err(),
        (ARRAY, Some(array)) => messages(array, ARRAY_VALUE).any(below),
        (MAP, Some(map)) => messages(map, MAP_ENTRY).any(|entry| below(key_and_value(entry).1)),
        _ => false,
    })
}

/// Encodes bytes that are not UTF-8 in base64, as OpenTelemetry represents bytes in other formats. OpenObserve would store an
/// empty text.
pub(super) fn to_text(attributes: &mut [KeyValue]) {
    attributes.iter_mut().filter_map(|attribute| attribute.value.as_mut()).for_each(value_to_text);
}

pub(super) fn value_to_text(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::BytesValue(bytes)) if std::str::from_utf8(bytes).is_err() => {
            let mut text = Vec::new();
            wire::push_base64(&mut text, bytes);
            value.value = String::from_utf8(text).ok().map(Value::StringValue);
        }
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(value_to_text),
        Some(Value::KvlistValue(map)) => to_text(&mut map.values),
        _ => {}
    }
}
