//! HTTP events as plain JSON.

use super::{str_of, text};
use crate::handler::trigger::http_request::{
    HttpRequest, joined, query_string, route_of_key, web_socket,
};
use crate::handler::trigger::span_attributes::SpanAttributes;
use opentelemetry::KeyValue;
use serde_json::Value;
use std::collections::HashMap;

/// Recognizes and describes an HTTP event.
pub(super) fn http(event: &Value) -> Option<SpanAttributes> {
    if str_of(event, "/requestContext/http/method").is_some() {
        Some(version_2(event).into_span_attributes())
    } else if str_of(event, "/httpMethod").is_some() {
        Some(version_1(event).into_span_attributes())
    } else if let Some(route_key) = text(event, "/requestContext/routeKey") {
        Some(web_socket(route_key, own_headers(event)))
    } else if str_of(event, "/method").is_some() {
        lattice(event)
    } else {
        app_sync(event)
    }
}

fn version_2(event: &Value) -> HttpRequest {
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
        target_group: None,
        headers: own_headers(event),
        received_ms: number(event, "/requestContext/timeEpoch"),
    }
}

fn version_1(event: &Value) -> HttpRequest {
    HttpRequest {
        method: text(event, "/httpMethod").unwrap_or_default(),
        route: text(event, "/resource").or_else(|| text(event, "/requestContext/resourcePath")),
        path: text(event, "/path"),
        query: Some(if event.pointer("/requestContext/elb").is_some() {
            // A load balancer leaves them encoded (Elastic Load Balancing, "Lambda functions as targets").
            joined(&query(event))
        } else {
            query_string(&query(event))
        }),
        protocol: text(event, "/requestContext/protocol"),
        client_address: text(event, "/requestContext/identity/sourceIp"),
        domain_name: text(event, "/requestContext/domainName"),
        user_agent: text(event, "/requestContext/identity/userAgent"),
        target_group: text(event, "/requestContext/elb/targetGroupArn")
            .map(|arn| KeyValue::new("alb.target_group_arn", arn)),
        headers: own_headers(event),
        received_ms: number(event, "/requestContext/requestTimeEpoch"),
    }
}

fn number(event: &Value, pointer: &str) -> Option<u64> {
    event.pointer(pointer)?.as_u64()
}

/// A request through Amazon VPC Lattice (VPC Lattice User Guide, "Lambda functions as targets", version 2).
fn lattice(event: &Value) -> Option<SpanAttributes> {
    let target_group = text(event, "/requestContext/targetGroupArn")?;
    let whole_path = text(event, "/path");
    let (path, query_in_path) = match whole_path.as_deref().and_then(|path| path.split_once('?')) {
        Some((path, query)) => (Some(path.to_owned()), Some(query.to_owned())),
        None => (whole_path, None),
    };
    let request = HttpRequest {
        method: text(event, "/method")?,
        path,
        query: query_in_path.or_else(|| Some(joined(&query(event)))),
        target_group: Some(KeyValue::new("aws.vpc_lattice.target_group.arn", target_group)),
        headers: own_headers(event),
        ..HttpRequest::default()
    };
    Some(request.into_span_attributes())
}

/// A field resolved by AWS AppSync with the function (AppSync Developer Guide, "Resolver mapping template context reference").
pub(super) fn app_sync(event: &Value) -> Option<SpanAttributes> {
    let (parent, field) =
        (str_of(event, "/info/parentTypeName")?, str_of(event, "/info/fieldName")?);
    let request = HttpRequest {
        client_address: text(event, "/identity/sourceIp/0"),
        domain_name: text(event, "/request/domainName"),
        headers: event
            .pointer("/request/headers")
            .map(|own| headers(own, None))
            .unwrap_or_default(),
        ..HttpRequest::default()
    };
    let mut described = request.into_span_attributes();
    let operations =
        [("Query", "query"), ("Mutation", "mutation"), ("Subscription", "subscription")];
    let operation = operations.into_iter().find(|(root, _)| *root == parent);
    described
        .attributes
        .extend(operation.map(|(_, kind)| KeyValue::new("graphql.operation.type", kind)));
    described.span_name = Some(format!("{parent}.{field}"));
    Some(described)
}

fn own_headers(event: &Value) -> HashMap<String, String> {
    headers(event.get("headers").unwrap_or(&Value::Null), event.get("multiValueHeaders"))
}

/// The headers with names in lower case; the last of several values. Omits values that are not text.
pub(super) fn headers(single: &Value, several: Option<&Value>) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    for (name, value) in
        [several, Some(single)].into_iter().flatten().filter_map(Value::as_object).flatten()
    {
        if let Some(text) = values(value).last() {
            headers.insert(name.to_ascii_lowercase(), text.to_owned());
        }
    }
    headers
}

fn query(event: &Value) -> Vec<(String, String)> {
    let several =
        event.get("multiValueQueryStringParameters").filter(|several| several.is_object());
    let parameters =
        several.or_else(|| event.get("queryStringParameters")).and_then(Value::as_object);
    let each = parameters.into_iter().flatten();
    each.flat_map(|(name, value)| values(value).map(|text| (name.clone(), text.to_owned())))
        .collect()
}

fn values(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
        .iter()
        .filter_map(Value::as_str)
}
