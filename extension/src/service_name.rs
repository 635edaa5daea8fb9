//! Adds the function's service name to requests without one, so that one function is one service.
//!
//! Source: OpenTelemetry, resource semantic conventions, `service.name`: the default is `unknown_service`, or `unknown_service:`
//! and the name of the process.

use crate::invocations::roots::{CONTAINERS, ITEMS, SCOPES};
use wire::Request;
use wire::protobuf::{BadField, Reader, Writer, messages};
use wire::resource::{SERVICE_NAME, is_unknown_service};

/// Field numbers (`opentelemetry/proto/resource/v1`, `common/v1`, and the containers of all three signals).
const RESOURCE: u32 = 1;
const ATTRIBUTES: u32 = 1;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING_VALUE: u32 = 1;

/// Returns the request with a service name in each resource. It is copied only if one is missing.
pub(crate) fn named(request: Request, service: &str) -> Request {
    if messages(request.bytes(), CONTAINERS)
        .all(|container| has_service(container) || !has_items(container))
    {
        return request;
    }
    let mut bytes = Vec::with_capacity(request.bytes().len() + 256);
    // The request was checked before, so all fields are readable.
    match write(request.bytes(), service, &mut Writer::new(&mut bytes)) {
        Ok(()) => Request::counted(request.kind(), bytes, request.items()),
        Err(_) => request,
    }
}

fn has_service(container: &[u8]) -> bool {
    let attributes =
        messages(container, RESOURCE).flat_map(|resource| messages(resource, ATTRIBUTES));
    // The later of two attributes with one key counts.
    attributes.filter(|attribute| is_service_name(attribute)).last().is_some_and(is_known)
}

/// Two bytes of an empty container must not become a whole resource.
fn has_items(container: &[u8]) -> bool {
    messages(container, SCOPES).any(|scope| messages(scope, ITEMS).next().is_some())
}

fn is_service_name(attribute: &[u8]) -> bool {
    messages(attribute, KEY).last() == Some(SERVICE_NAME.as_bytes())
}

fn is_known(attribute: &[u8]) -> bool {
    let Some(value) = messages(attribute, VALUE).last() else { return false };
    let Some(name) = messages(value, STRING_VALUE).last() else {
        // Keep values of other types.
        return !value.is_empty();
    };
    !name.is_empty() && !std::str::from_utf8(name).is_ok_and(is_unknown_service)
}

fn write(request: &[u8], service: &str, out: &mut Writer<'_>) -> Result<(), BadField> {
    for field in Reader::new(request) {
        let field = field?;
        match field.as_len() {
            Some(container) if field.number == CONTAINERS && !has_items(container) => {}
            Some(container) if field.number == CONTAINERS && !has_service(container) => {
                let mut named = Vec::with_capacity(container.len() + service.len() + 32);
                name(container, service, &mut Writer::new(&mut named))?;
                out.always_bytes(CONTAINERS, &named);
            }
            _ => out.raw(field.raw),
        }
    }
    Ok(())
}

/// Writes a container with one resource. Protobuf merges repeated resource fields.
fn name(container: &[u8], service: &str, out: &mut Writer<'_>) -> Result<(), BadField> {
    let mut resource = Vec::new();
    let mut attributes = Writer::new(&mut resource);
    for field in messages(container, RESOURCE).flat_map(Reader::new) {
        let field = field?;
        let is_replaced = field.number == ATTRIBUTES && field.as_len().is_some_and(is_service_name);
        if !is_replaced {
            attributes.raw(field.raw);
        }
    }
    attributes.message(ATTRIBUTES, |attribute| {
        attribute.string(KEY, SERVICE_NAME);
        attribute.message(VALUE, |value| value.string(STRING_VALUE, service));
    });
    out.always_bytes(RESOURCE, &resource);
    for field in Reader::new(container) {
        let field = field?;
        if field.number != RESOURCE {
            out.raw(field.raw);
        }
    }
    Ok(())
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
