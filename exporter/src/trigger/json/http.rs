//! HTTP events as plain JSON.

use crate::trigger::description::{HttpPlaces, TextList, at, first_text};
use crate::trigger::http_request::{HttpRequest, query_of_decoded, query_of_encoded, route_of_key};
use crate::trigger::span_attributes::SpanAttributes;
use serde_json::Value;
use std::collections::HashMap;

/// Describes an HTTP request, but for its name and attributes of its source.
pub(super) fn describe_request(
    places: &HttpPlaces,
    event: &Value,
    headers: HashMap<String, String>,
) -> SpanAttributes {
    let text = |pointers: TextList| first_text(event, pointers).map(str::to_owned);
    let mut path = text(places.path);
    let mut query = text(places.query);
    if places.query_in_path
        && let Some((before, after)) = path.as_deref().and_then(|path| path.split_once('?'))
    {
        query = query.or_else(|| Some(after.to_owned()));
        path = Some(before.to_owned());
    }
    let of_parameters = || {
        let parameters = query_parameters(event, places.query_parameters);
        if places.encoded { query_of_encoded(parameters) } else { query_of_decoded(parameters) }
    };
    let request = HttpRequest {
        method: text(places.method).unwrap_or_default(),
        route: text(places.route).or_else(|| route_of_key(first_text(event, places.route_key)?)),
        path,
        query: query.or_else(|| Some(of_parameters())),
        protocol: text(places.protocol),
        client_address: text(places.client_address),
        domain_name: text(places.host),
        user_agent: text(places.user_agent),
        headers,
        ..HttpRequest::default()
    };
    request.describe()
}

/// The headers at these places with names in lower case; the place named first wins. Several values are joined as in HTTP (RFC
/// 9110, 5.3), so that several parents are invalid (W3C Trace Context, 3.2). Omits values that are not text.
pub(super) fn headers_at(event: &Value, pointers: TextList) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    let maps = pointers.iter().rev().filter_map(|pointer| at(event, pointer)?.as_object());
    for (name, value) in maps.flatten() {
        let mut values = values(value);
        if let Some(first) = values.next() {
            let mut joined = first.to_owned();
            for value in values {
                joined.push(',');
                joined.push_str(value);
            }
            headers.insert(name.to_ascii_lowercase(), joined);
        }
    }
    headers
}

fn query_parameters(event: &Value, pointers: TextList) -> Vec<(String, String)> {
    let mut maps = pointers.iter().filter_map(|pointer| at(event, pointer)?.as_object());
    let parameters = maps.find(|map| !map.is_empty());
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
