//! Reads single fields of OTLP requests without decoding the rest.

use wire::Request;
use wire::protobuf::{Reader, messages};

/// Field numbers that the requests of all three signals share (`opentelemetry/proto/collector/*`).
pub(crate) const CONTAINERS: u32 = 1;
pub(crate) const SCOPES: u32 = 2;
pub(crate) const ITEMS: u32 = 2;

/// Returns the first `service.name`.
pub(crate) fn service_name(request: &Request) -> Option<String> {
    let mut resources =
        messages(request.bytes(), CONTAINERS).flat_map(|container| messages(container, 1));
    resources.find_map(|resource| {
        messages(resource, 1)
            .find_map(|attribute| string_attribute(attribute, wire::resource::SERVICE_NAME))
    })
}

/// Returns the string value of an attribute, if it has this key.
pub(crate) fn string_attribute(attribute: &[u8], key: &str) -> Option<String> {
    let mut fields = Reader::new(attribute).map_while(Result::ok);
    let is_it = fields.any(|field| field.number == 1 && field.as_len() == Some(key.as_bytes()));
    if !is_it {
        return None;
    }
    let value = messages(attribute, 2).next()?;
    let text = messages(value, 1).next()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_spans::{Span, traces};
    use wire::SignalKind;

    #[test]
    fn the_service_name_is_read_from_the_resource() {
        assert_eq!(service_name(&traces(&[Span::default()])).as_deref(), Some("orders"));
        assert_eq!(service_name(&Request::trusted(SignalKind::Logs, Vec::new())), None);
    }
}
