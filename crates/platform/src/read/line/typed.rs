//! Converts JSON values to values of OTLP.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValueList, any_value::Value as Any,
};
use serde_json::value::RawValue;

use crate::attributes::attribute;
use crate::read::fields::{Elements, Fields, text_of};
use crate::read::line::MAX_DEPTH;

/// Reads a typed value; `None` for null. `depth` counts the enclosing arrays and objects.
///
/// A value without an exact form in OTLP keeps its JSON text: an integer beyond 64 bits, a number beyond a double, and an object
/// with a repeated key, because OTLP requires unique keys.
pub(crate) fn typed(raw: &RawValue, depth: usize) -> Option<Any> {
    let text = raw.get();
    let as_text = || Any::StringValue(text.to_owned());
    Some(match text.as_bytes().first()? {
        b'n' => return None,
        b't' | b'f' => Any::BoolValue(text == "true"),
        b'"' => text_of(raw).map_or_else(as_text, |text| Any::StringValue(text.into_owned())),
        b'[' | b'{' if depth >= MAX_DEPTH => as_text(),
        b'[' => Any::ArrayValue(ArrayValue {
            // Positions in an array have a meaning, so null keeps its place as an empty value.
            values: Elements::of(text)
                .values
                .into_iter()
                .map(|value| AnyValue { value: typed(value, depth + 1) })
                .collect(),
        }),
        b'{' => match Fields::of(text).filter(Fields::has_unique_keys) {
            Some(Fields { pairs }) => Any::KvlistValue(KeyValueList {
                values: pairs
                    .into_iter()
                    .filter_map(|(key, value)| Some(attribute(&key, typed(value, depth + 1)?)))
                    .collect(),
            }),
            None => as_text(),
        },
        _ => number(text).unwrap_or_else(as_text),
    })
}

/// Reads a JSON number; `None` for an integer beyond 64 bits and for a number beyond a double.
fn number(text: &str) -> Option<Any> {
    match text.parse() {
        Ok(integer) => Some(Any::IntValue(integer)),
        Err(_) if text.contains(['.', 'e', 'E']) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Any::DoubleValue)
        }
        Err(_) => None,
    }
}
