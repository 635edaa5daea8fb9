//! An HTTP event, typed or as JSON.

use super::description::DESCRIPTION;
use super::span_attributes::{SpanAttributes, TriggerType};
use super::template::span_name;
use super::times::time_of_unix_ms;
use opentelemetry::KeyValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// An HTTP event of any source (semantic conventions 1.44, `docs/http/http-spans.md`).
#[derive(Debug, Default)]
pub(super) struct HttpRequest {
    /// Empty if the event has none.
    pub(super) method: String,
    /// The route, without its method; `None` for `$default`.
    pub(super) route: Option<String>,
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) client_address: Option<String>,
    pub(super) domain_name: Option<String>,
    pub(super) user_agent: Option<String>,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
    /// The time at which the gateway received the request, in milliseconds since the Unix epoch.
    pub(super) received_ms: Option<u64>,
}

impl HttpRequest {
    /// Describes the request without a span's name.
    pub(super) fn describe(self) -> SpanAttributes {
        let header = |name: &str| {
            let header = self.headers.get(name).filter(|text| !text.is_empty());
            header.map(String::as_str)
        };
        let method = known_method(&self.method);
        let scheme = header("x-forwarded-proto")
            .and_then(|schemes| schemes.split(',').next())
            .map(str::trim)
            .filter(|scheme| !scheme.is_empty())
            .unwrap_or("https");
        let protocols = &DESCRIPTION.protocol_versions;
        let version = self
            .protocol
            .as_deref()
            .and_then(|name| protocols.get(name).map(|version| version.as_str()));
        let host = header("host").or(self.domain_name.as_deref());
        let server = host.map(Server::of).unwrap_or_default();
        let forwarded_port = header("x-forwarded-port").and_then(port);
        let forwarded_for = || client_of(header("x-forwarded-for")?).map(str::to_owned);
        let user_agent = self.user_agent.or_else(|| header("user-agent").map(str::to_owned));
        let has_method = !self.method.is_empty();
        let is_other = has_method && method == OTHER_METHOD;
        let query = self.query.filter(|query| !query.is_empty());
        let texts = [
            ("url.scheme", Some(scheme.to_owned())),
            ("http.request.method", has_method.then(|| method.to_owned())),
            ("http.request.method_original", is_other.then_some(self.method)),
            ("http.route", self.route),
            ("url.path", self.path),
            ("url.query", query.map(|query| redacted(&query))),
            ("network.protocol.version", version.map(str::to_owned)),
            ("client.address", self.client_address.or_else(forwarded_for)),
            ("server.address", server.address.map(str::to_owned)),
            ("user_agent.original", user_agent),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value?)));
        let mut attributes: Vec<KeyValue> = texts.collect();
        if let Some(port) = forwarded_port.or(server.port) {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        SpanAttributes {
            attributes,
            carrier: Some(self.headers),
            trigger: TriggerType::Http,
            received_at: self.received_ms.and_then(time_of_unix_ms),
            ..SpanAttributes::default()
        }
    }

    /// Describes the request of this source, which has a type of its own, with the span's name.
    pub(super) fn describe_as(self, source: &str) -> SpanAttributes {
        with_name_of_source(self.describe(), source)
    }
}

/// Names the span of a source with a type of its own.
fn with_name_of_source(described: SpanAttributes, source: &str) -> SpanAttributes {
    let source = DESCRIPTION.source(source);
    let name = source.and_then(|source| span_name(source, &Value::Null, &described.attributes));
    SpanAttributes { span_name: name, ..described }
}

/// The value of `http.request.method` for an unknown method, which keeps the cardinality low.
const OTHER_METHOD: &str = "_OTHER";

fn known_method(method: &str) -> &'static str {
    let known = DESCRIPTION.http_methods.iter().find(|known| *known == method);
    known.unwrap_or(OTHER_METHOD)
}

/// The method of a request with these attributes, in the form of a span's name ("HTTP spans", "Name").
pub(crate) fn method_in_name(attributes: &[KeyValue]) -> Option<String> {
    let method =
        attributes.iter().find(|attribute| attribute.key.as_str() == "http.request.method")?;
    Some(method.value.as_str().replace(OTHER_METHOD, "HTTP"))
}

/// The path of a request with these attributes, in the form of a span's name.
pub(super) fn path_in_name(attributes: &[KeyValue]) -> Option<String> {
    let path = attributes.iter().find(|attribute| attribute.key.as_str() == "url.path")?;
    Some(without_ids(&path.value.as_str()))
}

#[derive(Default)]
struct Server<'a> {
    address: Option<&'a str>,
    port: Option<u16>,
}

impl<'a> Server<'a> {
    /// The server of a `Host` header.
    fn of(host: &'a str) -> Self {
        let parts = host.rsplit_once(':').and_then(|(name, number)| Some((name, port(number)?)));
        match parts {
            Some((name, port)) => Self { address: Some(name), port: Some(port) },
            None => Self { address: Some(host), port: None },
        }
    }
}

fn port(text: &str) -> Option<u16> {
    const MAX_DIGITS: usize = 5;
    let is_number = text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// The client address from the first entry of `X-Forwarded-For`, which may include a port.
fn client_of(forwarded_for: &str) -> Option<&str> {
    let entries = forwarded_for.split(',').take(DESCRIPTION.limits.forwarded_addresses);
    entries.map(str::trim).find_map(|text| {
        if text.parse::<IpAddr>().is_ok() {
            return Some(text);
        }
        text.parse::<SocketAddr>().ok()?;
        let (address, _) = text.rsplit_once(':')?;
        Some(address.trim_start_matches('[').trim_end_matches(']'))
    })
}

/// Converts the path to a name of low cardinality: `/orders/{id}` for `/orders/4711`, with the first segments.
fn without_ids(path: &str) -> String {
    let segments = path.trim_start_matches('/').split('/').take(DESCRIPTION.limits.name_segments);
    segments
        .map(|segment| if is_id(segment) { "/{id}".to_owned() } else { format!("/{segment}") })
        .collect()
}

fn is_id(segment: &str) -> bool {
    let limits = &DESCRIPTION.limits;
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    digits >= limits.id_digits
        || segment.starts_with(|c: char| c.is_ascii_digit())
        || segment.len() > limits.segment_bytes
}

/// `GET /orders/{id}` without its method; `None` for `$default`, which is not a route.
pub(super) fn route_of_key(route_key: &str) -> Option<String> {
    let route = route_key.split_once(' ').map_or(route_key, |(_, route)| route);
    (!route.is_empty() && route != "$default").then(|| route.to_owned())
}

/// The attributes of a WebSocket event: its route is `$connect`, `$disconnect`, `$default` or the application's.
pub(super) fn describe_web_socket(
    route_key: String,
    headers: HashMap<String, String>,
) -> SpanAttributes {
    let described = SpanAttributes {
        attributes: vec![KeyValue::new("http.route", route_key)],
        carrier: Some(headers),
        trigger: TriggerType::Http,
        ..SpanAttributes::default()
    };
    with_name_of_source(described, "WebSocket API")
}

/// Builds a query string from parameters that are still encoded, sorted by name.
pub(super) fn query_of_encoded(mut parameters: Vec<(String, String)>) -> String {
    sort_by_name(&mut parameters);
    let parts: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join("&")
}

/// Builds a query string from decoded parameters, which REST APIs pass in a map: sorted by name; `&`, `=`, `%`, `#`, `+` and
/// everything but printable ASCII encoded.
pub(super) fn query_of_decoded(mut parameters: Vec<(String, String)>) -> String {
    sort_by_name(&mut parameters);
    let encoded: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    encoded.join("&")
}

/// A stable sort keeps the order of a name's values.
fn sort_by_name(parameters: &mut [(String, String)]) {
    parameters.sort_by(|(left, _), (right, _)| left.cmp(right));
}

pub(crate) fn percent_encoded(text: &str) -> String {
    const ENCODED: &AsciiSet =
        &CONTROLS.add(b' ').add(b'&').add(b'=').add(b'%').add(b'#').add(b'+');
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Removes values that grant access.
fn redacted(query: &str) -> String {
    let secret = DESCRIPTION.secret_query_parameters;
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if secret.iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
            format!("{name}=REDACTED")
        }
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_address_is_the_first_valid_forwarded_address() {
        let check = |header, expected: Option<&str>| assert_eq!(client_of(header), expected);
        check("192.0.2.1", Some("192.0.2.1"));
        check("192.0.2.1, 198.51.100.7", Some("192.0.2.1"));
        check("unknown,192.0.2.1:4711", Some("192.0.2.1"));
        check("[2001:db8::1]:4711", Some("2001:db8::1"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("", None);
        check("<script>", None);
        check(&",".repeat(100_000), None);
    }

    #[test]
    fn ids_in_a_path_are_replaced_and_long_paths_truncated() {
        let check = |path, expected| assert_eq!(without_ids(path), expected);
        check("/", "/");
        check("", "/");
        check("/orders", "/orders");
        check("/v2/oauth2/orders/4711/items", "/v2/oauth2/orders/{id}/items");
        check("/users/0af76519-16cd-43dd-8448-eb211c80319c", "/users/{id}");
        check("/orders/order-12345/7", "/orders/{id}/{id}");
        check("/a/b/c/d/e/f/g", "/a/b/c/d/e/f");
        check(&format!("/{}", "x".repeat(41)), "/{id}");
    }

    #[test]
    fn the_description_says_which_characters_of_a_query_are_encoded() {
        let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/events.json")).unwrap();
        let description: Value = serde_json::from_slice(&text).unwrap();
        let encoded = description["encoded_in_query"].as_str().unwrap();
        for character in ' '..='~' {
            let is_encoded = percent_encoded(&character.to_string()).starts_with('%');
            assert_eq!(is_encoded, encoded.contains(character), "{character:?}");
        }
    }

    #[test]
    fn credentials_in_a_query_are_redacted() {
        let check = |query, expected| assert_eq!(redacted(query), expected);
        check("a=1&b", "a=1&b");
        check("sig=s3cr3t", "sig=REDACTED");
        check(
            "a=1&x-amz-signature=abc&token=a=b&b=2",
            "a=1&x-amz-signature=REDACTED&token=REDACTED&b=2",
        );
        check("X-Amz-Credential=&signature", "X-Amz-Credential=REDACTED&signature");
        check("design=blue&tokens=3", "design=blue&tokens=3");
    }
}
