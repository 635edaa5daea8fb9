//! Takes known values out of a line's fields; unknown ones remain.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::attributes::attribute;
use crate::read::json_line::{id_bytes, typed};

/// Takes a field if `read` understands it.
pub(crate) fn take<T>(
    fields: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    let taken = read(fields.get(key)?)?;
    fields.remove(key);
    Some(taken)
}

pub(crate) fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    take(fields, key, |value| value.as_str().map(str::to_owned))
}

/// A number with the default 0.
pub(crate) fn take_u32(fields: &mut Map<String, Value>, key: &str) -> u32 {
    take(fields, key, |value| value.as_u64()?.try_into().ok()).unwrap_or_default()
}

/// The map under `attributes`.
pub(crate) fn take_attributes(fields: &mut Map<String, Value>) -> Vec<KeyValue> {
    match fields.get_mut("attributes").map(Value::take) {
        Some(Value::Object(all)) => {
            fields.remove("attributes");
            attributes(all, |key| key)
        }
        Some(other) => {
            fields.insert("attributes".to_owned(), other);
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// The members of a map, with keys converted by `key`. Null counts as absent.
pub(crate) fn attributes(all: Map<String, Value>, key: impl Fn(String) -> String) -> Vec<KeyValue> {
    all.into_iter()
        .filter_map(|(name, value)| {
            let raw = RawValue::from_string(value.to_string()).ok()?;
            Some(attribute(&key(name), typed(&raw, 0)?))
        })
        .collect()
}

/// A number of nanoseconds. Lines contain exact numbers beyond 2^53, so they are never read as floats.
pub(crate) fn moment(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A trace id in W3C's or X-Ray's notation.
pub(crate) fn trace_id(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    id_bytes(text, 16).or_else(|| wire::ids::xray_trace_id(text).map(Vec::from))
}

pub(crate) fn span_id(value: &Value) -> Option<Vec<u8>> {
    id_bytes(value.as_str()?, 8)
}
