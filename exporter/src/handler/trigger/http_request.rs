//! An HTTP event, typed or as JSON.

use super::span_attributes::{SpanAttributes, TriggerType, received_at};
use opentelemetry::KeyValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
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
    /// The target group of the load balancer. Such requests have no route, so the path names the span.
    pub(super) target_group: Option<KeyValue>,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
    /// The time at which the gateway received the request, in milliseconds since the Unix epoch.
    pub(super) received_ms: Option<u64>,
}

impl HttpRequest {
    pub(super) fn into_span_attributes(self) -> SpanAttributes {
        let header = |name: &str| self.headers.get(name).cloned();
        let method = known_method(&self.method);
        let scheme = header("x-forwarded-proto").unwrap_or_else(|| "https".to_owned());
        let version = self.protocol.as_deref().and_then(|text| text.strip_prefix("HTTP/"));
        let host = header("host").or(self.domain_name);
        let (address, port) = host.as_deref().map_or((None, None), host_and_port);
        let forwarded_port = header("x-forwarded-port").and_then(|port| port.parse().ok());
        let forwarded_for = || client_of(self.headers.get("x-forwarded-for")?);
        let path_in_name = || self.path.as_deref().map(without_ids);
        let named_by = match self.target_group {
            Some(_) => path_in_name(),
            None => self.route.clone(),
        };
        let has_method = !self.method.is_empty();
        let is_other = has_method && method == OTHER_METHOD;
        let texts = [
            ("url.scheme", Some(scheme)),
            ("http.request.method", has_method.then(|| method.to_owned())),
            ("http.request.method_original", is_other.then_some(self.method)),
            ("http.route", self.route),
            ("url.path", self.path),
            (
                "url.query",
                self.query.filter(|query| !query.is_empty()).map(|query| redacted(&query)),
            ),
            ("network.protocol.version", version.map(str::to_owned)),
            ("client.address", self.client_address.or_else(forwarded_for)),
            ("server.address", address),
            ("user_agent.original", self.user_agent.or_else(|| header("user-agent"))),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value?)));
        let mut attributes: Vec<KeyValue> = texts.collect();
        if let Some(port) = forwarded_port.or(port) {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        attributes.extend(self.target_group);
        SpanAttributes {
            span_name: named_by
                .map(|name| format!("{} {name}", method.replace(OTHER_METHOD, "HTTP"))),
            attributes,
            carrier: Some(self.headers),
            trigger: TriggerType::Http,
            received_at: self.received_ms.and_then(received_at),
            ..SpanAttributes::default()
        }
    }
}

/// The value of `http.request.method` for an unknown method, which keeps the cardinality low.
const OTHER_METHOD: &str = "_OTHER";

fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or(OTHER_METHOD)
}

/// The method of a request with these attributes, in the form of a span's name ("HTTP spans", "Name").
pub(crate) fn method_in_name(attributes: &[KeyValue]) -> Option<String> {
    let method = attributes.iter().find(|own| own.key.as_str() == "http.request.method")?;
    Some(method.value.as_str().replace(OTHER_METHOD, "HTTP"))
}

fn host_and_port(host: &str) -> (Option<String>, Option<u16>) {
    match host.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (Some(name.to_owned()), Some(port)),
        _ => (Some(host.to_owned()), None),
    }
}

/// The client address from the first entry of `X-Forwarded-For`, which may include a port.
fn client_of(forwarded_for: &str) -> Option<String> {
    let address = |text: &str| {
        let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
        text.parse::<IpAddr>().or_else(|_| with_port()).ok()
    };
    let client = forwarded_for.split(',').take(10).find_map(|text| address(text.trim()))?;
    Some(client.to_string())
}

/// Converts the path to a name of low cardinality: `/orders/{id}` for `/orders/4711`, with at most six segments.
fn without_ids(path: &str) -> String {
    const MOST_SEGMENTS: usize = 6;
    let segments = path.trim_start_matches('/').split('/').take(MOST_SEGMENTS);
    segments
        .map(|segment| if is_id(segment) { "/{id}".to_owned() } else { format!("/{segment}") })
        .collect()
}

fn is_id(segment: &str) -> bool {
    const MOST_BYTES_OF_A_NAME: usize = 40;
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    digits >= 3
        || segment.starts_with(|c: char| c.is_ascii_digit())
        || segment.len() > MOST_BYTES_OF_A_NAME
}

/// `GET /orders/{id}` without its method; `None` for `$default`, which is not a route.
pub(super) fn route_of_key(route_key: &str) -> Option<String> {
    let route = route_key.split_once(' ').map_or(route_key, |(_, route)| route);
    (!route.is_empty() && route != "$default").then(|| route.to_owned())
}

/// The attributes of a WebSocket event: its route is `$connect`, `$disconnect`, `$default` or the application's.
pub(super) fn web_socket(route_key: String, headers: HashMap<String, String>) -> SpanAttributes {
    SpanAttributes {
        attributes: vec![KeyValue::new("http.route", route_key.clone())],
        span_name: Some(route_key),
        carrier: Some(headers),
        trigger: TriggerType::Http,
        ..SpanAttributes::default()
    }
}

pub(super) fn joined(parameters: &[(String, String)]) -> String {
    let parts: Vec<String> =
        parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
    parts.join("&")
}

/// Builds a query string from decoded parameters, which REST APIs pass in a map: sorted by name; `&`, `=`, `%`, `#`, `+` and
/// everything but printable ASCII encoded.
pub(super) fn query_string(parameters: &[(String, String)]) -> String {
    let mut parameters: Vec<_> = parameters.iter().collect();
    // A stable sort keeps the order of a name's values.
    parameters.sort_by(|left, right| left.0.cmp(&right.0));
    let encoded: Vec<String> = parameters
        .into_iter()
        .map(|(key, value)| format!("{}={}", percent_encoded(key), percent_encoded(value)))
        .collect();
    encoded.join("&")
}

pub(crate) fn percent_encoded(text: &str) -> String {
    const ENCODED: &AsciiSet =
        &CONTROLS.add(b' ').add(b'&').add(b'=').add(b'%').add(b'#').add(b'+');
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Removes values that grant access (semantic conventions, `docs/registry/attributes/url.md`, `url.query`), including `token` and
/// `access_token` (RFC 6750).
fn redacted(query: &str) -> String {
    const SECRET: [&str; 9] = [
        "AWSAccessKeyId",
        "Signature",
        "sig",
        "X-Goog-Signature",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Credential",
        "access_token",
        "token",
    ];
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
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
        let check =
            |header, expected: Option<&str>| assert_eq!(client_of(header).as_deref(), expected);
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
