//! Parses destinations and routes.

use super::super::MOST_DESTINATIONS;
use super::super::mistake::nearest;
use super::super::route::{DEFAULT, DestinationRule, RouteRule};
use super::super::template::OriginField;
use super::document::{Document, Node, join};
use backend::{Profile, missing_organization};
use settings::{Headers, Kind, Pattern, Reader, SecretReference, Table, Variable};
use std::collections::HashMap;
use toml::de::DeTable;
use url::Url;

const DESTINATION_KEYS: &[&str] = &["endpoint", "secret", "headers", "stream", "profile"];

const PROFILES: &[(&str, Profile)] =
    &[("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];

/// Parts of header names with credentials.
const CREDENTIALS: &[&str] =
    &["auth", "token", "password", "passwd", "secret", "api-key", "api_key", "apikey", "cookie"];

const NO_CREDENTIALS: &str = "credentials do not belong into this file: name where they are kept, secret = \"ssm:NAME\" or the ARN of a secret";

pub(super) fn destinations<'t>(
    document: &mut Document<'t>,
    root: &DeTable<'t>,
) -> Vec<DestinationRule> {
    let Some(node) = root.get("destination") else { return Vec::new() };
    let Some(table) = document.table("destination", node) else { return Vec::new() };
    if table.len() > MOST_DESTINATIONS {
        let problem = format!("there are {}, at most {MOST_DESTINATIONS} are read", table.len());
        document.mistake(node.span(), "destination", problem);
        return Vec::new();
    }
    let mut destinations = Vec::new();
    for (name, node) in table {
        let path = join("destination", name.get_ref());
        if name.get_ref() == DEFAULT {
            let problem = "`default` is the destination that the forwarder's variables describe; use another name";
            document.mistake(name.span(), &path, problem);
        }
        destinations.extend(destination(document, &path, name.get_ref(), node));
    }
    destinations
}

fn destination<'t>(
    document: &mut Document<'t>,
    path: &str,
    name: &str,
    node: &Node<'t>,
) -> Option<DestinationRule> {
    let table = document.table(path, node)?;
    for (key, _) in table {
        let name = key.get_ref().as_ref();
        if DESTINATION_KEYS.contains(&name) {
            continue;
        }
        let problem = match nearest(name, DESTINATION_KEYS) {
            Some(near) => format!("unknown key, did you mean `{near}`?"),
            None if is_credential(name) => NO_CREDENTIALS.to_owned(),
            None => format!("unknown key; there are {}", DESTINATION_KEYS.join(", ")),
        };
        document.mistake(key.span(), &join(path, name), problem);
    }
    let headers = table.get("headers");
    let headers = headers.map(|node| self::headers(document, &join(path, "headers"), node));
    let key = join(path, "stream");
    let stream = table.get("stream").and_then(|node| document.template(&key, node));
    let key = join(path, "profile");
    let profile = table.get("profile").and_then(|node| {
        let text = document.string(&key, node)?;
        document.word(&key, text, node.span(), PROFILES)
    });
    let key = join(path, "secret");
    let secret = table.get("secret").and_then(|node| secret(document, &key, node));
    let key = join(path, "endpoint");
    let Some(endpoint) = table.get("endpoint") else {
        document.mistake(node.span(), &key, "a destination needs an endpoint");
        return None;
    };
    Some(DestinationRule {
        name: name.to_owned(),
        endpoint: self::endpoint(document, &key, endpoint)?,
        secret,
        headers: headers.unwrap_or_else(Headers::new),
        stream,
        profile: profile.unwrap_or_default(),
    })
}

/// Parsed like the forwarder's variables, with the same rules and messages.
const VALUES: Table = Table::new(&[&[
    Variable { name: "endpoint", default: None, kind: Kind::Url, doc: "Base URL." },
    Variable { name: "secret", default: None, kind: Kind::SecretReference, doc: "Credentials." },
]]);

fn read<'t, T>(
    document: &mut Document<'t>,
    key: &str,
    node: &Node<'t>,
    name: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    let text = document.string(key, node)?;
    let source = HashMap::from([(name.to_owned(), text.to_owned())]);
    let mut reader = Reader::new(&source, VALUES);
    let value = read(&mut reader);
    for mistake in reader.finish() {
        document.mistake(node.span(), key, mistake.problem);
    }
    value
}

fn endpoint<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>) -> Option<Url> {
    let url = read(document, key, node, "endpoint", |reader| reader.url("endpoint"))?;
    if url.query_pairs().any(|(name, _)| is_credential(&name)) {
        document.mistake(node.span(), key, NO_CREDENTIALS);
    }
    if let Some(problem) = missing_organization(&url) {
        document.mistake(node.span(), key, problem);
    }
    Some(url)
}

fn secret<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>) -> Option<SecretReference> {
    read(document, key, node, "secret", |reader| reader.secret_reference("secret"))
}

fn headers<'t>(document: &mut Document<'t>, path: &str, node: &Node<'t>) -> Headers {
    let mut headers = Headers::new();
    let Some(table) = document.table(path, node) else { return headers };
    for (name, node) in table {
        let key = join(path, name.get_ref());
        if is_credential(name.get_ref()) {
            document.mistake(name.span(), &key, NO_CREDENTIALS);
            continue;
        }
        let Some(value) = document.string(&key, node) else { continue };
        if let Err(problem) = headers.push(name.get_ref(), value) {
            document.mistake(node.span(), &key, problem);
        }
    }
    headers
}

fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part))
}

pub(super) fn routes<'t>(
    document: &mut Document<'t>,
    root: &DeTable<'t>,
    destinations: &[DestinationRule],
) -> Vec<RouteRule> {
    let mut routes = Vec::new();
    for (at, table) in document.tables("route", root) {
        let origin = origin(document, table);
        let key = join("route", "stream");
        let stream = table.get("stream").and_then(|node| document.template(&key, node));
        let key = join("route", "to");
        let to = match table.get("to") {
            Some(node) => document.strings(&key, node),
            None if table.contains_key("stream") => vec![(DEFAULT, at.clone())],
            None => {
                document.mistake(at.clone(), "route", "expected `to`, `stream`, or both");
                Vec::new()
            }
        };
        let mut known = Vec::new();
        for (name, at) in to {
            let destination = destinations.iter().find(|destination| destination.name == name);
            if known.iter().any(|(known, _)| known == name) {
                document.mistake(at, &key, format!("`{name}` is named twice"));
            } else if destination.is_none() && name != DEFAULT {
                let described = root.get("destination").and_then(|node| node.get_ref().as_table());
                if !described.is_some_and(|table| table.contains_key(name)) {
                    let problem = format!(
                        "there is no [destination.{name}], and `default` is the only other"
                    );
                    document.mistake(at, &key, problem);
                }
            } else {
                let stream = destination.and_then(|destination| destination.stream.clone());
                known.push((name.to_owned(), stream));
            }
        }
        routes.push(RouteRule { origin, to: known, stream });
    }
    routes
}

/// Parses the conditions of a route, which see the origin only.
fn origin<'t>(
    document: &mut Document<'t>,
    table: &DeTable<'t>,
) -> Vec<(OriginField, Vec<Pattern>)> {
    let known: Vec<&str> =
        OriginField::NAMED.iter().map(|(name, _)| *name).chain(["to", "stream"]).collect();
    let mut origin = Vec::new();
    for (key, node) in table {
        let name = key.get_ref().as_ref();
        let path = join("route", name);
        if let Some(field) = OriginField::named(name) {
            origin.push((field, document.patterns(&path, node)));
        } else if let Some(near) = nearest(name, &known).filter(|_| !known.contains(&name)) {
            document.mistake(key.span(), &path, format!("unknown key, did you mean `{near}`?"));
        } else if !known.contains(&name) {
            document.mistake(
                key.span(),
                &path,
                "a route is chosen by account, region, log_group, log_stream and function only: \
                 the content of a log event must not choose a destination, because its author could redirect telemetry",
            );
        }
    }
    origin
}
