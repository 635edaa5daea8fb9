//! The target of a span: the address, table, queue or bucket that its name does not tell.
//!
//! Source: OpenTelemetry semantic conventions, "HTTP spans" (a client span without a route is named by its method), "Database
//! client spans" and "AWS SDK"; `http.url`, `http.target`, `net.peer.name` and `db.statement` are their older names.

use super::attribute_text;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;

/// The attributes with a whole URL.
const URLS: [&str; 2] = ["url.full", "http.url"];
/// The attributes with the host, and those with the path of a request.
const HOSTS: [&str; 3] = ["server.address", "net.peer.name", "http.host"];
const PATHS: [&str; 2] = ["url.path", "http.target"];
/// Other attributes that name a target, the most exact first.
const OTHERS: [&str; 9] = [
    "aws.dynamodb.table_names",
    "aws.s3.bucket",
    "messaging.destination.name",
    "aws.sqs.queue.url",
    "faas.invoked_name",
    "gen_ai.request.model",
    "db.query.text",
    "db.statement",
    "db.collection.name",
];

/// Returns the target of a span; empty if it has none, or if its name contains it.
pub fn target(span: &Span) -> String {
    let found = found_target(&span.attributes).unwrap_or_default();
    let first_line = found.lines().next().unwrap_or_default();
    // A list of one table is the table.
    let target = first_line.trim_matches(['[', ']']);
    if span.name.contains(target) { String::new() } else { target.to_owned() }
}

fn found_target(attributes: &[KeyValue]) -> Option<String> {
    let url = first(attributes, &URLS).map(|url| host_and_path(&url));
    url.or_else(|| first(attributes, &OTHERS)).or_else(|| requested(attributes))
}

/// Host and path of a request whose URL is not an attribute.
fn requested(attributes: &[KeyValue]) -> Option<String> {
    let host = first(attributes, &HOSTS);
    let path = first(attributes, &PATHS).map(|path| host_and_path(&path));
    if host.is_none() && path.is_none() {
        return None;
    }
    Some(host.unwrap_or_default() + &path.unwrap_or_default())
}

fn first(attributes: &[KeyValue], keys: &[&str]) -> Option<String> {
    let found = keys.iter().filter_map(|key| attribute_text(attributes, key));
    found.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
}

/// Host, port and path of a URL, or the path of a path. Scheme, credentials, query and fragment would hide the path in a narrow
/// column.
fn host_and_path(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let without_query = url.get(..end).unwrap_or(url);
    let Some((_, address)) = without_query.split_once("://") else {
        return without_query.to_owned();
    };
    let path_start = address.find('/').unwrap_or(address.len());
    let (authority, path) = address.split_at_checked(path_start).unwrap_or((address, ""));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::string_attribute;

    #[test]
    fn the_target_tells_equal_names_apart() {
        let check = |name: &str, attributes: &[(&str, &str)], expected: &str| {
            let attributes = attributes.iter().map(|(key, value)| string_attribute(key, *value));
            let span =
                Span { name: name.to_owned(), attributes: attributes.collect(), ..Span::default() };
            assert_eq!(target(&span), expected, "{name}");
        };
        check("GET", &[("url.full", "http://127.0.0.1:80/slow?item=tea")], "127.0.0.1:80/slow");
        check("GET", &[("http.url", "https://me:secret@api.example.com#top")], "api.example.com");
        check("HTTP GET", &[("net.peer.name", "a.example.com")], "a.example.com");
        check("GET", &[("server.address", "a"), ("http.target", "/b?c=d")], "a/b");
        check("GET /orders", &[("url.path", "/orders")], "");
        check("DynamoDB.PutItem", &[("aws.dynamodb.table_names", "[orders]")], "orders");
        check(
            "SELECT",
            &[("db.query.text", "SELECT 1\nFROM a"), ("server.address", "db")],
            "SELECT 1",
        );
        check("send orders", &[("messaging.destination.name", "orders")], "");
        check("work", &[("code.function", "work"), ("url.full", " ")], "");
    }
}
