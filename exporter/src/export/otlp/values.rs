//! Encodings shared by the three signals: scopes, attributes and values. `value_length` is the maximum length of a text value, in
//! characters.

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use wire::protobuf::Writer;

pub(crate) fn resource_attributes(writer: &mut Writer<'_>, mut attributes: Vec<(&Key, &Value)>) {
    attributes.sort_unstable_by(|left, right| left.0.as_str().cmp(right.0.as_str()));
    for (key, value) in attributes {
        key_value(writer, 1, key.as_str(), value, usize::MAX);
    }
}

/// Field 1 of `ScopeSpans`, `ScopeLogs` and `ScopeMetrics`; `name` overrides the scope's own name.
pub(crate) fn scope(writer: &mut Writer<'_>, scope: &InstrumentationScope, name: Option<&str>) {
    writer.message(1, |writer| {
        writer.string(1, name.unwrap_or_else(|| scope.name()));
        writer.string(2, scope.version().unwrap_or_default());
        attributes(writer, 3, scope.attributes(), usize::MAX);
    });
}

pub(crate) fn attributes<'a>(
    writer: &mut Writer<'_>,
    field: u32,
    attributes: impl IntoIterator<Item = &'a KeyValue>,
    value_length: usize,
) {
    for KeyValue { key, value, .. } in attributes {
        key_value(writer, field, key.as_str(), value, value_length);
    }
}

fn key_value(writer: &mut Writer<'_>, field: u32, key: &str, value: &Value, value_length: usize) {
    writer.message(field, |writer| {
        writer.string(1, key);
        writer.message(2, |writer| self::value(writer, value, value_length));
    });
}

/// The content of an `AnyValue`.
fn value(writer: &mut Writer<'_>, value: &Value, length: usize) {
    match value {
        Value::Bool(value) => boolean(writer, *value),
        Value::I64(value) => integer(writer, *value),
        Value::F64(value) => writer.always_double(4, *value),
        Value::String(value) => text(writer, value.as_str(), length),
        Value::Array(array) => writer.message(5, |writer| array_values(writer, array, length)),
        // A kind of value that the SDK adds later is written as text.
        other => text(writer, &other.as_str(), length),
    }
}

fn text(writer: &mut Writer<'_>, text: &str, length: usize) {
    writer.always_string(1, beginning(text, length));
}

/// The first characters of a text.
fn beginning(text: &str, characters: usize) -> &str {
    // Most texts have fewer bytes than the limit has characters.
    let end = (text.len() > characters).then(|| text.char_indices().nth(characters)).flatten();
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

fn array_values(writer: &mut Writer<'_>, array: &Array, length: usize) {
    fn each<T>(writer: &mut Writer<'_>, values: &[T], write: impl Fn(&mut Writer<'_>, &T)) {
        for value in values {
            writer.message(1, |writer| write(writer, value));
        }
    }
    match array {
        Array::Bool(values) => each(writer, values, |writer, value| boolean(writer, *value)),
        Array::I64(values) => each(writer, values, |writer, value| integer(writer, *value)),
        Array::F64(values) => each(writer, values, |writer, value| writer.always_double(4, *value)),
        Array::String(values) => each(writer, values, |writer, value: &StringValue| {
            text(writer, value.as_str(), length);
        }),
        other => writer.message(1, |writer| text(writer, &other.to_string(), length)),
    }
}

/// The content of an `AnyValue` of a log record, which may also contain bytes, lists and maps.
pub(crate) fn any_value(writer: &mut Writer<'_>, value: &AnyValue, length: usize) {
    match value {
        AnyValue::Int(value) => integer(writer, *value),
        AnyValue::Double(value) => writer.always_double(4, *value),
        AnyValue::String(value) => text(writer, value.as_str(), length),
        AnyValue::Boolean(value) => boolean(writer, *value),
        AnyValue::Bytes(value) => writer.always_bytes(7, value.get(..length).unwrap_or(value)),
        AnyValue::ListAny(values) => writer.message(5, |writer| {
            for value in values.iter() {
                writer.message(1, |writer| any_value(writer, value, length));
            }
        }),
        AnyValue::Map(map) => writer.message(6, |writer| {
            for (key, value) in map.iter() {
                writer.message(1, |writer| {
                    writer.string(1, key.as_str());
                    writer.message(2, |writer| any_value(writer, value, length));
                });
            }
        }),
        other => text(writer, &format!("{other:?}"), length),
    }
}

fn boolean(writer: &mut Writer<'_>, value: bool) {
    writer.always_varint(2, u64::from(value));
}

fn integer(writer: &mut Writer<'_>, value: i64) {
    writer.always_varint(3, value.cast_unsigned());
}
