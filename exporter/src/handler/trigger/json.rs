//! Events as plain JSON: the shape decides, and anything may be missing or of another type.

use super::http_request::{HttpRequest, query_string, route_of_key};
use super::span_attributes::SpanAttributes;
use super::{Extractor, SpanAttributesExtractor};
use serde_json::Value;
use std::collections::HashMap;

/// Describes invocations by plain JSON: API Gateway events by their shape, else a parent in `headers`.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonExtractor;

impl JsonExtractor {
    /// The extractor.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Extractor<Value> for JsonExtractor {
    fn extract(&self, event: &Value) -> SpanAttributes {
        event.extract_span_attributes()
    }
}

impl SpanAttributesExtractor for Value {
    fn extract_span_attributes(&self) -> SpanAttributes {
        if text(self, "/requestContext/http/method").is_some() {
            version_2(self).into_span_attributes()
        } else if text(self, "/httpMethod").is_some()
            && self.pointer("/requestContext/elb").is_none()
        {
            version_1(self).into_span_attributes()
        } else {
            let carrier = self.get("headers").map(|_| headers(self));
            SpanAttributes { carrier, ..SpanAttributes::default() }
        }
    }
}

pub(super) fn version_2(event: &Value) -> HttpRequest {
    HttpRequest {
        method: text(event, "/requestContext/http/method").unwrap_or_default(),
        route: text(event, "/routeKey")
            .or_else(|| text(event, "/requestContext/routeKey"))
            .as_deref()
            .and_then(route_of_key),
        path: text(event, "/rawPath").or_else(|| text(event, "/requestContext/http/path")),
        query: text(event, "/rawQueryString"),
        protocol: text(event, "/requestContext/http/protocol"),
        client_address: text(event, "/requestContext/http/sourceIp"),
        domain_name: text(event, "/requestContext/domainName"),
        user_agent: text(event, "/requestContext/http/userAgent"),
        headers: headers(event),
    }
}

pub(super) fn version_1(event: &Value) -> HttpRequest {
    HttpRequest {
        method: text(event, "/httpMethod").unwrap_or_default(),
        route: text(event, "/resource").or_else(|| text(event, "/requestContext/resourcePath")),
        path: text(event, "/path"),
        query: Some(query(event)),
        protocol: text(event, "/requestContext/protocol"),
        client_address: text(event, "/requestContext/identity/sourceIp"),
        domain_name: text(event, "/requestContext/domainName"),
        user_agent: text(event, "/requestContext/identity/userAgent"),
        headers: headers(event),
    }
}

fn text(event: &Value, pointer: &str) -> Option<String> {
    event.pointer(pointer)?.as_str().map(str::to_owned)
}

/// The headers, names in lower case; values that are no text are left out.
fn headers(event: &Value) -> HashMap<String, String> {
    let single = event.get("headers").and_then(Value::as_object);
    let several = event.get("multiValueHeaders").and_then(Value::as_object);
    let last_of = |values: &Value| values.as_array()?.last()?.as_str().map(str::to_owned);
    let mut headers = HashMap::new();
    for (name, values) in several.into_iter().flatten() {
        if let Some(value) = last_of(values) {
            headers.insert(name.to_ascii_lowercase(), value);
        }
    }
    for (name, value) in single.into_iter().flatten() {
        if let Some(value) = value.as_str() {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    headers
}

fn query(event: &Value) -> String {
    let mut parameters = Vec::new();
    if let Some(several) = event.get("multiValueQueryStringParameters").and_then(Value::as_object) {
        for (name, values) in several {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            parameters.extend(values.map(|value| (name.clone(), value.to_owned())));
        }
    } else if let Some(single) = event.get("queryStringParameters").and_then(Value::as_object) {
        let texts = single.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        parameters.extend(texts.map(|(name, value)| (name.clone(), value.to_owned())));
    }
    query_string(&parameters)
}
