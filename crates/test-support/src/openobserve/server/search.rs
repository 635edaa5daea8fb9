//! OpenObserve's API to read: the list of streams, the columns of one, and searches of a few forms.

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::json;
use std::collections::BTreeSet;

use crate::openobserve::http_response::HttpResponse;
use crate::openobserve::ingest::admit;
use crate::openobserve::route::unknown_organization;
use crate::openobserve::rows::{self, Row};
use crate::openobserve::shared::Shared;
use crate::openobserve::types::Types;
use crate::openobserve::{Signal, signal_of};

pub(crate) struct Question {
    organization: String,
    kind: Kind,
}

enum Kind {
    Streams { signal: Option<Signal> },
    Search { signal: Option<Signal>, sql: String },
    Schema { signal: Option<Signal>, stream: String },
}

impl Question {
    /// The list of streams, the columns of one, or a search by SQL; `None` for any other request.
    pub(crate) fn of(parts: &Parts, body: &Bytes) -> Option<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let signal = query.split('&').find_map(|pair| pair.strip_prefix("type="));
        let segments: Vec<&str> = parts.uri.path().strip_prefix('/')?.split('/').collect();
        let kind = match (parts.method.as_str(), segments.as_slice()) {
            ("GET", ["api", _, "streams"]) => Kind::Streams { signal: signal.and_then(signal_of) },
            ("POST", ["api", _, "_search"]) => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let sql = body.pointer("/query/sql").and_then(|sql| sql.as_str());
                Kind::Search {
                    signal: signal_of(signal.unwrap_or("logs")),
                    sql: sql.unwrap_or_default().to_owned(),
                }
            }
            ("GET", ["api", _, "streams", stream, "schema"]) => {
                Kind::Schema { signal: signal.and_then(signal_of), stream: (*stream).to_owned() }
            }
            _ => return None,
        };
        let organization = segments.get(1).copied().unwrap_or_default().to_owned();
        Some(Self { organization, kind })
    }

    pub(crate) fn answer(self, shared: &Shared, headers: &HeaderMap) -> HttpResponse {
        if let Err(reply) = admit::authorize(&shared.config, headers) {
            return reply;
        }
        // Reading makes no organization.
        if !shared.config.organizations.contains(&self.organization) {
            return unknown_organization();
        }
        match self.kind {
            Kind::Streams { signal } => {
                let streams = rows::streams(&shared.state().store, &self.organization);
                let asked = streams.iter().filter(|(of, _)| signal.is_none_or(|it| it == *of));
                let list: Vec<serde_json::Value> = asked
                    .map(|(of, name)| json!({ "name": name, "stream_type": of.as_str() }))
                    .collect();
                HttpResponse::json(200, &json!({ "total": list.len(), "list": list }))
            }
            Kind::Schema { signal, stream } => schema(shared, &self.organization, signal, &stream),
            Kind::Search { signal, sql } => search(shared, &self.organization, signal, &sql),
        }
    }
}

/// The names of a stream's columns.
fn schema(
    shared: &Shared,
    organization: &str,
    signal: Option<Signal>,
    stream: &str,
) -> HttpResponse {
    let Some(signal) = signal else { return HttpResponse::error(400, "no type of streams") };
    let state = shared.state();
    let rows = rows::stream(&state.store, organization, signal, stream);
    let names: BTreeSet<String> = rows.flat_map(|row| row.columns.into_keys()).collect();
    if names.is_empty() {
        return HttpResponse::error(404, "stream not found");
    }
    let columns: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    HttpResponse::json(200, &json!({ "name": stream, "schema": columns }))
}

fn search(shared: &Shared, organization: &str, signal: Option<Signal>, sql: &str) -> HttpResponse {
    let (Some(signal), Some(Query { stream, condition })) = (signal, query(sql)) else {
        return HttpResponse::error(
            400,
            "the fake reads SELECT … FROM \"stream\" WHERE column='value', or all rows",
        );
    };
    let store = &shared.state().store;
    let mut rows = rows::stream(store, organization, signal, stream).peekable();
    if rows.peek().is_none() {
        let message = format!("Search stream not found: {stream}");
        return HttpResponse::json(400, &json!({ "code": 20002, "message": message }));
    }
    let is_asked = |row: &Row| {
        condition.as_ref().is_none_or(|condition| {
            row.columns.get(condition.column).is_some_and(|found| found == condition.value)
        })
    };
    let key = (organization.to_owned(), stream.to_owned());
    let types = store.types.get(&key).filter(|_| signal == Signal::Logs);
    let joined = types.map_or(Ok(()), Types::join);
    // A search for all columns fails as a whole.
    if let Err(hidden) = joined
        && sql.starts_with("SELECT * ")
    {
        return HttpResponse::error(500, &hidden.to_string());
    }
    let mut hits = Vec::new();
    for mut row in rows.filter(is_asked) {
        let converted = types.map_or(Ok(()), |types| types.convert(&mut row));
        if let Err(hidden) = converted
            && sql.starts_with("SELECT * ")
        {
            return HttpResponse::error(500, &hidden.to_string());
        }
        hits.push(row.columns);
    }
    HttpResponse::json(200, &json!({ "total": hits.len(), "hits": hits }))
}

/// The parts of a query.
struct Query<'q> {
    stream: &'q str,
    /// `None` for all rows.
    condition: Option<Condition<'q>>,
}

struct Condition<'q> {
    column: &'q str,
    value: &'q str,
}

/// Reads `… FROM "stream" WHERE column='value'` or `… FROM "stream"`.
fn query(sql: &str) -> Option<Query<'_>> {
    let (_, from) = sql.split_once("FROM \"")?;
    let (stream, after_stream) = from.split_once('"')?;
    if after_stream.is_empty() {
        return Some(Query { stream, condition: None });
    }
    let (column, quoted) = after_stream.strip_prefix(" WHERE ")?.split_once("='")?;
    let value = quoted.split('\'').next()?;
    Some(Query { stream, condition: Some(Condition { column: column.trim(), value }) })
}
