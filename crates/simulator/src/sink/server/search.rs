//! OpenObserve's API beside ingestion: the list of streams, searches of one form, and management.

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use serde_json::json;

use crate::sink::http_response::HttpResponse;
use crate::sink::ingest::admit;
use crate::sink::management;
use crate::sink::route::unknown_organization;
use crate::sink::rows::{self, hex};
use crate::sink::shared::Shared;
use crate::sink::signal::Signal;

pub(crate) struct Question {
    organization: String,
    kind: Kind,
}

enum Kind {
    Streams {
        signal: Option<Signal>,
    },
    /// Dashboards, alerts and their folders and destinations.
    Manage(management::Request),
    Search {
        signal: Option<Signal>,
        sql: String,
    },
}

impl Question {
    /// `GET /api/{org}/streams` and `POST /api/{org}/_search?type=`; `None` for any other request.
    pub(crate) fn of(parts: &Parts, body: &Bytes) -> Option<Self> {
        if let Some(request) = management::Request::of(parts, body) {
            let organization = request.organization.clone();
            return Some(Self { organization, kind: Kind::Manage(request) });
        }
        let query = parts.uri.query().unwrap_or_default();
        let signal = query.split('&').find_map(|pair| pair.strip_prefix("type="));
        let segments: Vec<&str> = parts.uri.path().strip_prefix('/')?.split('/').collect();
        let kind = match (parts.method.as_str(), segments.as_slice()) {
            ("GET", ["api", _, "streams"]) => {
                Kind::Streams { signal: signal.and_then(Signal::from_path) }
            }
            ("POST", ["api", _, "_search"]) => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let sql = body.pointer("/query/sql").and_then(|sql| sql.as_str());
                Kind::Search {
                    signal: Signal::from_path(signal.unwrap_or("logs")),
                    sql: sql.unwrap_or_default().to_owned(),
                }
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
                    .map(|(of, name)| json!({ "name": name, "stream_type": of.name() }))
                    .collect();
                HttpResponse::json(200, &json!({ "total": list.len(), "list": list }))
            }
            Kind::Manage(request) => shared.manage(request),
            Kind::Search { signal, sql } => search(shared, &self.organization, signal, &sql),
        }
    }
}

fn search(
    shared: &Shared,
    in_organization: &str,
    signal: Option<Signal>,
    sql: &str,
) -> HttpResponse {
    let (Some(signal), Some((stream, column, value))) = (signal, equality(sql)) else {
        return HttpResponse::error(
            400,
            "the sink reads SELECT … FROM \"stream\" WHERE column='value'",
        );
    };
    let state = shared.state();
    let store = &state.store;
    let here = |organization: &str, found: &str| organization == in_organization && found == stream;
    let (mut known, mut hits) = (false, 0_usize);
    let mut look = |is_here: bool, is_hit: bool| {
        known |= is_here;
        hits += usize::from(is_here && is_hit);
    };
    let is_trace = |id: &[u8]| column == "trace_id" && hex(id) == value;
    match signal {
        Signal::Logs => store.log_records.iter().for_each(|record| {
            look(here(&record.organization, &record.stream), is_trace(&record.item.trace_id));
        }),
        Signal::Traces => store.spans.iter().for_each(|span| {
            look(here(&span.organization, &span.stream), is_trace(&span.item.trace_id));
        }),
        Signal::Metrics => store.metrics.iter().for_each(|metric| {
            let has = labels(&metric.item).any(|label| {
                label.key == column
                    && label.value.as_ref().and_then(|v| v.value.as_ref())
                        == Some(&Value::StringValue(value.to_owned()))
            });
            look(here(&metric.organization, &metric.stream), has);
        }),
    }
    if !known {
        let message = format!("Search stream not found: {stream}");
        return HttpResponse::json(400, &json!({ "code": 20002, "message": message }));
    }
    let hits = vec![json!({}); hits];
    HttpResponse::json(200, &json!({ "total": hits.len(), "hits": hits }))
}

/// Stream, column and value of `… FROM "stream" WHERE column='value'`.
fn equality(sql: &str) -> Option<(&str, &str, &str)> {
    let (_, rest) = sql.split_once("FROM \"")?;
    let (stream, rest) = rest.split_once("\" WHERE ")?;
    let (column, rest) = rest.split_once("='")?;
    Some((stream, column.trim(), rest.split('\'').next()?))
}

fn labels(metric: &Metric) -> impl Iterator<Item = &KeyValue> {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.as_slice(),
        Some(Data::Sum(sum)) => sum.data_points.as_slice(),
        _ => &[],
    };
    points.iter().flat_map(|point| &point.attributes)
}
