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

/// Returns the request with a service name in each resource. It is copied only if one is missing.
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
        let mut named = Vec::with_capacity(256);
        let mut out = Writer::new(&mut named);
        for field in fields(container.resource()) {
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
    let (key, _) = key_and_value(attribute);
    key == SERVICE_NAME.as_bytes()
}

fn is_known(attribute: &[u8]) -> bool {
    let (_, value) = key_and_value(attribute);
    let Some(name) = messages(value, any_value::STRING).next() else {
        // Keep values of other types.
        return !value.is_empty();
    };
    !name.is_empty() && !std::str::from_utf8(name).is_ok_and(is_unknown_service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Limits, SignalKind};

    /// A log record for each resource, which has these attributes. The requests of all signals have the same nesting.
    fn request(resources: &[&str]) -> Request {
        let scopes = r#""scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"}}]}]"#;
        let container = |attributes: &&str| match *attributes {
            "" => format!("{{{scopes}}}"),
            attributes => format!(r#"{{"resource":{{"attributes":[{attributes}]}},{scopes}}}"#),
        };
        let containers: Vec<String> = resources.iter().map(container).collect();
        let json = format!(r#"{{"resourceLogs":[{}]}}"#, containers.join(","));
        Request::from_json(SignalKind::Logs, json.as_bytes(), &Limits::default()).unwrap()
    }

    const TEAM: &str = r#"{"key":"team","value":{"stringValue":"blue"}}"#;

    fn service(name: &str) -> String {
        format!(r#"{{"key":"{SERVICE_NAME}","value":{{"stringValue":"{name}"}}}}"#)
    }

    #[test]
    fn resources_without_a_service_name_get_the_function_name() {
        let (shop, orders, unknown) =
            (service("shop"), service("orders"), service("unknown_service"));
        let named_shop = format!("{TEAM},{shop}");
        let nothing = format!(r#"{{"key":"{SERVICE_NAME}","value":{{}}}}"#);
        for name in ["unknown_service", "unknown_service:python", ""].map(service) {
            let before = request(&[&format!("{TEAM},{name}")]);
            assert_eq!(named(before, "shop"), request(&[&named_shop]), "{name}");
        }
        for (before, after) in [
            (&[""][..], &[shop.as_str()][..]),
            (&[&format!("{TEAM},{nothing}")], &[&named_shop]),
            // Resources are independent, and the later of two names counts.
            (&[&orders, &unknown, ""], &[&orders, &shop, &shop]),
            (&[&format!("{orders},{unknown}")], &[&shop]),
        ] {
            let named = named(request(before), "shop");
            assert_eq!(named, request(after), "{before:?}");
            assert!(Request::check(named.kind(), named.into_bytes(), &Limits::default()).is_ok());
        }
        // Containers without items are dropped.
        let bytes = [[0x0a, 0x00].repeat(10_000), request(&[""]).into_bytes()].concat();
        let many = Request::check(SignalKind::Logs, bytes, &Limits::default()).unwrap();
        assert_eq!(named(many, "shop"), request(&[&shop]));
    }

    #[test]
    fn a_request_with_service_names_is_not_copied() {
        let number = format!(r#"{{"key":"{SERVICE_NAME}","value":{{"intValue":"7"}}}}"#);
        let two = format!("{},{}", service("unknown_service"), service("orders"));
        for own in ["orders", "unknown_services", "unknown"].map(service) {
            let request = request(&[&own, &number, &two]);
            let place = request.bytes().as_ptr();
            assert_eq!(named(request, "shop").bytes().as_ptr(), place, "{own} was copied");
        }
    }
}
