//! Adds the function's service name to requests without one, so that one function is one service.
//!
//! Source: OpenTelemetry, resource semantic conventions, `service.name`: the default is `unknown_service`, or `unknown_service:`
//! and the name of the process.

use wire::Request;
use wire::edit::{Editor, Head};
use wire::field::{any_value, resource};
use wire::protobuf::{Writer, fields, messages};
use wire::resource::{SERVICE_NAME, is_unknown_service};
use wire::view::{Container, key_and_value};

/// Returns the request with a service name in each resource. It is copied only if one is missing. Resources without items are
/// removed, because two bytes of an empty container must not become a whole resource.
pub(crate) fn named(request: Request, service: &str) -> Request {
    let kind = request.kind();
    let named = request.edit(&mut Named { service });
    named.unwrap_or_else(|| Request::trusted(kind, Vec::new()))
}

struct Named<'s> {
    service: &'s str,
}

impl Editor for Named<'_> {
    fn resource(&mut self, container: Container<'_>) -> Head {
        // The later of two attributes with one key counts.
        if container.attributes().filter(is_service_name).last().is_some_and(is_known) {
            return Head::Keep;
        }
        if !container.has_items() {
            return Head::Drop;
        }
        let mut named = Vec::with_capacity(256);
        let mut out = Writer::new(&mut named);
        for field in fields(&container.resource()) {
            let attribute = field.as_len().filter(|_| field.number == resource::ATTRIBUTES);
            if !attribute.is_some_and(|attribute| is_service_name(&attribute)) {
                out.raw(field.raw);
            }
        }
        out.text_attribute(resource::ATTRIBUTES, SERVICE_NAME, self.service);
        Head::Replace(named)
    }
}

fn is_service_name(attribute: &&[u8]) -> bool {
    key_and_value(attribute).0 == SERVICE_NAME.as_bytes()
}

fn is_known(attribute: &[u8]) -> bool {
    let (_, value) = key_and_value(attribute);
    let Some(name) = messages(value, any_value::STRING).last() else {
        // Keep values of other types.
        return !value.is_empty();
    };
    !name.is_empty() && !std::str::from_utf8(name).is_ok_and(is_unknown_service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Limits, SignalKind};

    /// Parses OTLP/JSON with one container per resource.
    fn request(kind: SignalKind, resources: &[&str]) -> Request {
        let (resource_items, scope_items, item) = match kind {
            SignalKind::Traces => (
                "resourceSpans",
                "scopeSpans",
                r#"{"spans":[{"name":"a","traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"}]}"#,
            ),
            SignalKind::Logs => {
                ("resourceLogs", "scopeLogs", r#"{"logRecords":[{"body":{"stringValue":"a"}}]}"#)
            }
            SignalKind::Metrics => (
                "resourceMetrics",
                "scopeMetrics",
                r#"{"metrics":[{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}}]}"#,
            ),
        };
        let containers: Vec<String> = resources
            .iter()
            .map(|resource| format!("{{{resource}\"{scope_items}\":[{item}]}}"))
            .collect();
        let json = format!("{{\"{resource_items}\":[{}]}}", containers.join(","));
        Request::from_json(kind, json.as_bytes(), &Limits::default()).unwrap()
    }

    fn attribute(key: &str, value: &str) -> String {
        format!(r#"{{"key":"{key}","value":{value}}}"#)
    }

    fn resource(attributes: &[String]) -> String {
        format!(r#""resource":{{"attributes":[{}]}},"#, attributes.join(","))
    }

    fn service(value: &str) -> String {
        resource(&[attribute("team", r#"{"stringValue":"blue"}"#), attribute(SERVICE_NAME, value)])
    }

    #[test]
    fn empty_containers_are_dropped_when_naming_the_service() {
        let one = request(SignalKind::Traces, &[""]);
        let mut bytes = [0x0a, 0x00].repeat(10_000);
        bytes.extend_from_slice(one.bytes());
        let many = Request::check(SignalKind::Traces, bytes, &Limits::default()).unwrap();
        let named_one = named(one, "orders");
        assert_eq!(named(many, "orders").bytes(), named_one.bytes());
    }

    #[test]
    fn resources_without_a_service_name_get_the_function_name() {
        for kind in SignalKind::ALL {
            let check = |before: &[&str], expected: &[&str]| {
                let named = named(request(kind, before), "shop");
                let expected = request(kind, expected);
                assert_eq!(named, expected, "{before:?}");
                assert_eq!(named.items(), before.len());
                assert!(Request::check(kind, named.into_bytes(), &Limits::default()).is_ok());
            };
            let text = |name: &str| service(&format!(r#"{{"stringValue":"{name}"}}"#));
            let shop = text("shop");
            check(&[&text("unknown_service")], &[&shop]);
            check(&[&text("unknown_service:python")], &[&shop]);
            check(&[&text("")], &[&shop]);
            check(&[&service("{}")], &[&shop]);
            let only_name = resource(&[attribute(SERVICE_NAME, r#"{"stringValue":"shop"}"#)]);
            check(&[""], &[&only_name]);
            check(&[&resource(&[])], &[&only_name]);
            // Resources are independent.
            let orders = text("orders");
            check(&[&orders, &text("unknown_service"), ""], &[&orders, &shop, &only_name]);
            // The later of two names counts.
            let two = |first: &str, second: &str| {
                let name =
                    |name: &str| attribute(SERVICE_NAME, &format!(r#"{{"stringValue":"{name}"}}"#));
                resource(&[name(first), name(second)])
            };
            check(&[&two("orders", "unknown_service")], &[&only_name]);
        }
    }

    #[test]
    fn a_request_with_service_names_is_not_copied() {
        for kind in SignalKind::ALL {
            let two = resource(&[
                attribute(SERVICE_NAME, r#"{"stringValue":"unknown_service"}"#),
                attribute(SERVICE_NAME, r#"{"stringValue":"orders"}"#),
            ]);
            for value in ["orders", "unknown_services", "unknown"] {
                let own = service(&format!(r#"{{"stringValue":"{value}"}}"#));
                let request = request(kind, &[&own, &service(r#"{"intValue":"7"}"#), &two]);
                let place = request.bytes().as_ptr();
                let named = named(request, "shop");
                assert_eq!(named.bytes().as_ptr(), place, "{value} was copied");
            }
        }
    }
}
