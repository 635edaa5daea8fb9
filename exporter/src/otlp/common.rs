//! What the three signals share: resources, scopes, attributes, values, times.

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use wire::proto::Writer;

/// A resource, encoded once an environment: it is the same in every line.
#[derive(Debug, Clone, Default)]
pub(crate) struct EncodedResource {
    /// The content of an `opentelemetry.proto.resource.v1.Resource`.
    message: Vec<u8>,
    schema_url: String,
    /// `service.name`, or empty.
    pub(crate) service_name: String,
}

impl EncodedResource {
    /// Attributes sorted by key: the SDK keeps them in a hash map of random order, and equal resources must give equal
    /// bytes, so that lines of one function merge and compress well.
    pub(crate) fn new(resource: &Resource) -> Self {
        let mut message = Vec::new();
        resource_attributes(&mut Writer::new(&mut message), resource);
        let service_name = resource
            .iter()
            .find(|(key, _)| key.as_str() == wire::resource::SERVICE_NAME)
            .map(|(_, value)| value.as_str().into_owned())
            .unwrap_or_default();
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        Self { message, schema_url, service_name }
    }

    /// Writes `resource` and `schema_url` of `ResourceSpans` or `ResourceLogs`, between which `scopes` writes its field 2.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, scopes: impl FnOnce(&mut Writer<'_>)) {
        writer.always_bytes(1, &self.message);
        scopes(writer);
        writer.string(3, &self.schema_url);
    }
}

pub(crate) fn resource_attributes(writer: &mut Writer<'_>, resource: &Resource) {
    let mut attributes: Vec<_> = resource.iter().collect();
    attributes.sort_unstable_by(|left, right| left.0.as_str().cmp(right.0.as_str()));
    for (key, value) in attributes {
        key_value(writer, 1, key.as_str(), value);
    }
}

/// Field 1 of `ScopeSpans`, `ScopeLogs` and `ScopeMetrics`; `name` replaces the scope's own where it is given.
pub(crate) fn scope(writer: &mut Writer<'_>, scope: &InstrumentationScope, name: Option<&str>) {
    writer.message(1, |writer| {
        writer.string(1, name.unwrap_or_else(|| scope.name()));
        writer.string(2, scope.version().unwrap_or_default());
        attributes(writer, 3, scope.attributes());
    });
}

pub(crate) fn attributes<'a>(
    writer: &mut Writer<'_>,
    field: u32,
    attributes: impl IntoIterator<Item = &'a KeyValue>,
) {
    for KeyValue { key, value, .. } in attributes {
        key_value(writer, field, key.as_str(), value);
    }
}

fn key_value(writer: &mut Writer<'_>, field: u32, key: &str, value: &Value) {
    writer.message(field, |writer| {
        writer.string(1, key);
        writer.message(2, |writer| self::value(writer, value));
    });
}

/// The content of an `AnyValue`.
fn value(writer: &mut Writer<'_>, value: &Value) {
    match value {
        Value::Bool(value) => boolean(writer, *value),
        Value::I64(value) => integer(writer, *value),
        Value::F64(value) => writer.always_double(4, *value),
        Value::String(value) => writer.always_string(1, value.as_str()),
        Value::Array(array) => writer.message(5, |writer| array_values(writer, array)),
        // The enum may grow; its text is better than nothing.
        other => writer.always_string(1, &other.as_str()),
    }
}

fn array_values(writer: &mut Writer<'_>, array: &Array) {
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
            writer.always_string(1, value.as_str());
        }),
        other => writer.message(1, |writer| writer.always_string(1, &other.to_string())),
    }
}

/// The content of an `AnyValue`, for log records: these have bytes, lists and maps too.
pub(crate) fn any_value(writer: &mut Writer<'_>, value: &AnyValue) {
    match value {
        AnyValue::Int(value) => integer(writer, *value),
        AnyValue::Double(value) => writer.always_double(4, *value),
        AnyValue::String(value) => writer.always_string(1, value.as_str()),
        AnyValue::Boolean(value) => boolean(writer, *value),
        AnyValue::Bytes(value) => writer.always_bytes(7, value),
        AnyValue::ListAny(values) => writer.message(5, |writer| {
            for value in values.iter() {
                writer.message(1, |writer| any_value(writer, value));
            }
        }),
        AnyValue::Map(map) => writer.message(6, |writer| {
            for (key, value) in map.iter() {
                writer.message(1, |writer| {
                    writer.string(1, key.as_str());
                    writer.message(2, |writer| any_value(writer, value));
                });
            }
        }),
        other => writer.always_string(1, &format!("{other:?}")),
    }
}

fn boolean(writer: &mut Writer<'_>, value: bool) {
    writer.always_varint(2, u64::from(value));
}

fn integer(writer: &mut Writer<'_>, value: i64) {
    writer.always_varint(3, value.cast_unsigned());
}
