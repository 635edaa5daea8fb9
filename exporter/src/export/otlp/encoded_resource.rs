//! A resource, encoded once an environment.

use super::values::resource_attributes;
use opentelemetry_sdk::Resource;
use wire::protobuf::Writer;

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
