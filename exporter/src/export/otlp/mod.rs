//! Encodes the SDK's data as OTLP protobuf directly to bytes, without intermediate structs.
//!
//! Tests compare the result with the crate's `transform`.

pub(super) mod logs;
pub(super) mod metrics;
#[cfg(test)]
mod tests;
pub(super) mod traces;

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use wire::field::{any_value, container, key_value, request, resource, scope, scope_container};
use wire::protobuf::Writer;

/// A resource, encoded once per environment because every line repeats it.
#[derive(Debug, Clone, Default)]
pub(crate) struct EncodedResource {
    /// The content of an `opentelemetry.proto.resource.v1.Resource`.
    message: Vec<u8>,
    schema_url: String,
    /// `service.name`, or empty.
    pub(crate) service_name: String,
}

impl EncodedResource {
    /// Encodes attributes sorted by key: the SDK's hash map has a random order, and equal bytes let lines of one function merge
    /// and compress well. The function's name replaces the SDK's default service name (`unknown_service`, with or without the
    /// process's name).
    pub(crate) fn new(resource: &Resource, function_name: Option<&str>) -> Self {
        let key = Key::from_static_str(wire::resource::SERVICE_NAME);
        let configured = resource.get_ref(&key);
        let is_unknown =
            configured.is_none_or(|name| wire::resource::is_unknown_service(&name.as_str()));
        let of_function = function_name.filter(|_| is_unknown).map(|name| name.to_owned().into());
        let service_name = of_function.as_ref().or(configured);
        let mut attributes: Vec<(&Key, &Value)> = resource.iter().collect();
        attributes.retain(|(name, _)| **name != key);
        attributes.extend(service_name.map(|name| (&key, name)));
        attributes.sort_unstable_by(|left, right| left.0.as_str().cmp(right.0.as_str()));
        let mut message = Vec::new();
        let mut writer = Writer::new(&mut message);
        for (key, value) in attributes {
            key_value(&mut writer, resource::ATTRIBUTES, key.as_str(), value, usize::MAX);
        }
        let service_name = service_name.map(|name| name.as_str().into_owned()).unwrap_or_default();
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        Self { message, schema_url, service_name }
    }
}

/// The request with these items, grouped by scope; empty without any. `scope_of` returns an item's scope and its name, which may
/// differ from the scope's own.
pub(crate) fn request<'a, T>(
    resource: &EncodedResource,
    items: &'a [T],
    bytes_of_item: usize,
    scope_of: impl Fn(&'a T) -> (&'a InstrumentationScope, &'a str),
    write: impl Fn(&mut Writer<'_>, &T),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(bytes_of_item * items.len());
    if items.is_empty() {
        return bytes;
    }
    let mut scopes: Vec<(&InstrumentationScope, &str)> = Vec::new();
    for item in items {
        let scope = scope_of(item);
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Writer::new(&mut bytes).message(request::CONTAINERS, |writer| {
        writer.always_bytes(container::RESOURCE, &resource.message);
        for (of_items, name) in scopes {
            writer.message(container::SCOPES, |writer| {
                scope(writer, of_items, name);
                for item in items.iter().filter(|item| scope_of(item) == (of_items, name)) {
                    writer.message(scope_container::ITEMS, |writer| write(writer, item));
                }
                writer
                    .string(scope_container::SCHEMA_URL, of_items.schema_url().unwrap_or_default());
            });
        }
        writer.string(container::SCHEMA_URL, &resource.schema_url);
    });
    bytes
}

/// The scope of `ScopeSpans`, `ScopeLogs` and `ScopeMetrics`.
fn scope(writer: &mut Writer<'_>, scope: &InstrumentationScope, name: &str) {
    writer.message(scope_container::SCOPE, |writer| {
        writer.string(scope::NAME, name);
        writer.string(scope::VERSION, scope.version().unwrap_or_default());
        attributes(writer, scope::ATTRIBUTES, scope.attributes(), usize::MAX);
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
        writer.string(key_value::KEY, key);
        writer.message(key_value::VALUE, |writer| self::value(writer, value, value_length));
    });
}

/// The content of an `AnyValue`.
fn value(writer: &mut Writer<'_>, value: &Value, length: usize) {
    match value {
        Value::Bool(value) => boolean(writer, *value),
        Value::I64(value) => integer(writer, *value),
        Value::F64(value) => writer.always_double(any_value::DOUBLE, *value),
        Value::String(value) => text(writer, value.as_str(), length),
        Value::Array(array) => {
            writer.message(any_value::ARRAY, |writer| array_values(writer, array, length));
        }
        // A kind of value that the SDK adds later is written as text.
        other => text(writer, &other.as_str(), length),
    }
}

fn text(writer: &mut Writer<'_>, text: &str, length: usize) {
    writer.always_string(any_value::STRING, beginning(text, length));
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
            writer.message(any_value::VALUES, |writer| write(writer, value));
        }
    }
    match array {
        Array::Bool(values) => each(writer, values, |writer, value| boolean(writer, *value)),
        Array::I64(values) => each(writer, values, |writer, value| integer(writer, *value)),
        Array::F64(values) => {
            each(writer, values, |writer, value| writer.always_double(any_value::DOUBLE, *value));
        }
        Array::String(values) => each(writer, values, |writer, value: &StringValue| {
            text(writer, value.as_str(), length);
        }),
        other => {
            writer.message(any_value::VALUES, |writer| text(writer, &other.to_string(), length));
        }
    }
}

/// The content of an `AnyValue` of a log record, which may also contain bytes, lists and maps.
pub(crate) fn any_value(writer: &mut Writer<'_>, value: &AnyValue, length: usize) {
    match value {
        AnyValue::Int(value) => integer(writer, *value),
        AnyValue::Double(value) => writer.always_double(any_value::DOUBLE, *value),
        AnyValue::String(value) => text(writer, value.as_str(), length),
        AnyValue::Boolean(value) => boolean(writer, *value),
        AnyValue::Bytes(value) => {
            writer.always_bytes(any_value::BYTES, value.get(..length).unwrap_or(value));
        }
        AnyValue::ListAny(values) => writer.message(any_value::ARRAY, |writer| {
            for value in values.iter() {
                writer.message(any_value::VALUES, |writer| any_value(writer, value, length));
            }
        }),
        AnyValue::Map(map) => writer.message(any_value::KVLIST, |writer| {
            for (key, value) in map.iter() {
                writer.message(any_value::VALUES, |writer| {
                    writer.string(key_value::KEY, key.as_str());
                    writer.message(key_value::VALUE, |writer| any_value(writer, value, length));
                });
            }
        }),
        other => text(writer, &format!("{other:?}"), length),
    }
}

fn boolean(writer: &mut Writer<'_>, value: bool) {
    writer.always_varint(any_value::BOOL, u64::from(value));
}

fn integer(writer: &mut Writer<'_>, value: i64) {
    writer.always_varint(any_value::INT, value.cast_unsigned());
}
