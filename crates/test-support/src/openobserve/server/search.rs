//! OpenObserve's API to read: the list of streams, their schemas, and searches of a few forms.

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::json;

use crate::openobserve::http_response::HttpResponse;
use crate::openobserve::ingest::admit;
use crate::openobserve::route::unknown_organization;
use crate::openobserve::rows::{self, Row};
use crate::openobserve::shared::Shared;
use crate::openobserve::store::{Schemas, Store, StreamKey};
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
    /// The list of streams, a schema or its change, a search by SQL; `None` for any other request.
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
            ("GET", ["api", _, "streams", stream, "schema"])
            | ("PUT", ["api", _, "streams", stream, "update_fields"]) => Kind::Schema {
                signal: signal_of(signal.unwrap_or("logs")),
                stream: (*stream).to_owned(),
            },
            _ => return None,
        };
        let organization = segments.get(1).copied().unwrap_or_default().to_owned();
        Some(Self { organization, kind })
    }

    /// Returns `true` if the call declares a column of texts.
    pub(crate) fn declares_text(&self, parts: &Parts, body: &Bytes) -> bool {
        let is_change =
            matches!(self.kind, Kind::Schema { .. }) && parts.method == http::Method::PUT;
        is_change && String::from_utf8_lossy(body).contains("Utf8")
    }

    /// The answer to a call that reads or declares the columns of a stream of a known signal; `None` if it is another question.
    pub(crate) fn schema(
        &self,
        shared: &Shared,
        parts: &Parts,
        body: &Bytes,
    ) -> Option<HttpResponse> {
        let Kind::Schema { signal: Some(signal), stream } = &self.kind else { return None };
        if let Err(reply) = admit::authorize(&shared.config, &parts.headers) {
            return Some(reply);
        }
        let state = &mut *shared.state();
        let text = String::from_utf8_lossy(body);
        let call = format!("{} {} {text}", parts.method, parts.uri.path());
        state.store.schema_calls.push(call.trim_end().to_owned());
        if let Some(status) = shared.config.schemas_refused {
            return Some(HttpResponse::error(status, "Unauthorized Access"));
        }
        if !self.has_organization(shared, &state.store) {
            return Some(unknown_organization());
        }
        if *signal != Signal::Logs {
            let organization = self.organization.clone();
            let key = StreamKey { organization, signal: *signal, name: stream.clone() };
            return Some(untyped_schema(&mut state.store.schemas, key, parts, body));
        }
        let key = (self.organization.clone(), stream.clone());
        if parts.method == http::Method::PUT {
            let fields = serde_json::from_slice(body).unwrap_or_default();
            let now = i64::try_from((shared.config.clock)() / 1000).unwrap_or(i64::MAX);
            let is_changed = state.store.types.entry(key).or_default().declare(&fields, now);
            return Some(if is_changed {
                HttpResponse::error(200, "fields updated")
            } else {
                HttpResponse::error(400, "UNIQUE constraint failed: meta.start_dt")
            });
        }
        let types = state.store.types.get(&key).filter(|types| !types.is_empty());
        Some(match types {
            None => HttpResponse::error(404, "stream not found"),
            Some(types) => {
                HttpResponse::json(200, &json!({ "name": stream, "schema": types.columns() }))
            }
        })
    }

    /// Returns `true` if the organization was there from the start, or if a client created it by writing.
    fn has_organization(&self, shared: &Shared, store: &Store) -> bool {
        let is_its = |organization: &String| *organization == self.organization;
        let of_records = store.log_records.iter().map(|it| &it.organization);
        let mut of_items = store.spans.iter().map(|it| &it.organization).chain(of_records);
        shared.config.organizations.iter().any(is_its) || of_items.any(is_its)
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
            // [`Question::schema`] answers those of a known signal.
            Kind::Schema { .. } => HttpResponse::error(400, "no type of streams"),
            Kind::Search { signal, sql } => search(shared, &self.organization, signal, &sql),
        }
    }
}

const NUMBERS_OF_SPANS: [&str; 6] =
    ["_timestamp", "duration", "end_time", "flags", "start_time", "status_code"];

/// Reads or declares the columns of a stream of spans, whose attributes are texts.
fn untyped_schema(
    schemas: &mut Schemas,
    stream: StreamKey,
    parts: &Parts,
    body: &Bytes,
) -> HttpResponse {
    if parts.method == http::Method::PUT {
        schemas.declare(stream, &serde_json::from_slice(body).unwrap_or_default());
        return HttpResponse::error(200, "fields updated");
    }
    let Some(columns) = schemas.columns(&stream) else {
        return HttpResponse::error(404, "stream not found");
    };
    let column = |name: &str| {
        let of_column = if NUMBERS_OF_SPANS.contains(&name) { "Int64" } else { "Utf8" };
        json!({ "name": name, "type": of_column })
    };
    let columns: Vec<_> = columns.into_iter().map(column).collect();
    HttpResponse::json(200, &json!({ "name": stream.name, "schema": columns }))
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
