//! A resource, encoded once per environment.

use super::values::resource_attributes;
use opentelemetry::{Key, Value};
use opentelemetry_sdk::Resource;
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
        let own = resource.get_ref(&key);
        let is_unknown = own.is_none_or(|name| wire::resource::is_unknown_service(&name.as_str()));
        let of_function = function_name.filter(|_| is_unknown).map(|name| name.to_owned().into());
        let service_name = of_function.as_ref().or(own);
        let mut attributes: Vec<(&Key, &Value)> = resource.iter().collect();
        attributes.retain(|(own, _)| **own != key);
        attributes.extend(service_name.map(|name| (&key, name)));
        let mut message = Vec::new();
        resource_attributes(&mut Writer::new(&mut message), attributes);
        let service_name = service_name.map(|name| name.as_str().into_owned()).unwrap_or_default();
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        Self { message, schema_url, service_name }
    }

    /// Writes `resource` and `schema_url` of `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`; `scopes` writes field 2 in
    /// between.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, scopes: impl FnOnce(&mut Writer<'_>)) {
        writer.always_bytes(1, &self.message);
        scopes(writer);
        writer.string(3, &self.schema_url);
    }
}
