//! Spans, log records and data points in one plain form, read from OTLP/JSON or a script's notes, and compared as
//! multisets.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Reads a script's notes: one item a line.
pub(super) fn made(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(file).context("the program noted nothing")?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("cannot parse the program's notes"))
        .collect()
}

/// Reads requests of OTLP/JSON, one a line, as `lambda-otlp decode` prints them.
pub(super) fn decoded(requests: &[u8]) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    for line in requests.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let request: Value = serde_json::from_slice(line).context("decoded OTLP/JSON")?;
        for (resources, scopes, items_of) in [
            ("resourceSpans", "scopeSpans", spans as fn(&Value, &Value) -> Vec<Value>),
            ("resourceLogs", "scopeLogs", log_records),
            ("resourceMetrics", "scopeMetrics", points),
        ] {
            for resource in array(&request[resources]) {
                let attributes = attributes(&resource["resource"]["attributes"]);
                for scope in array(&resource[scopes]) {
                    let origin = json!({
                        "service": attributes.get("service.name"),
                        "scope": text(&scope["scope"]["name"]),
                    });
                    items.extend(items_of(scope, &origin));
                }
            }
        }
    }
    Ok(items)
}

/// Returns the number of items of each signal, or the missing and surplus items.
pub(super) fn compare(made: &[Value], read: &[Value]) -> anyhow::Result<String> {
    let mut unexpected: Vec<&Value> = read.iter().collect();
    let mut missing = Vec::new();
    for item in made {
        match unexpected.iter().position(|candidate| *candidate == item) {
            Some(position) => drop(unexpected.swap_remove(position)),
            None => missing.push(item),
        }
    }
    if made.is_empty() {
        bail!("the program made nothing");
    }
    if let (None, None) = (missing.first(), unexpected.first()) {
        let count = |signal| made.iter().filter(|item| item["signal"] == signal).count();
        let counts = [("span", "spans"), ("log", "log records"), ("point", "data points")]
            .map(|(signal, words)| (count(signal), words));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        return Ok(counts
            .map(|(count, words)| format!("{count} {words}"))
            .collect::<Vec<_>>()
            .join(", "));
    }
    let first = |items: &[&Value]| items.first().map(ToString::to_string).unwrap_or_default();
    bail!(
        "of {} made {} are missing: {}; of {} read {} were not made: {}",
        made.len(),
        missing.len(),
        first(&missing),
        read.len(),
        unexpected.len(),
        first(&unexpected),
    )
}

fn spans(scope: &Value, origin: &Value) -> Vec<Value> {
    let events = |span: &Value| -> Value {
        let event = |event: &Value| {
            json!({
                "name": text(&event["name"]),
                "time": text(&event["timeUnixNano"]),
                "attributes": attributes(&event["attributes"]),
            })
        };
        array(&span["events"]).iter().map(event).collect()
    };
    let links = |span: &Value| -> Value {
        let link = |link: &Value| {
            json!({
                "trace_id": text(&link["traceId"]),
                "span_id": text(&link["spanId"]),
                "attributes": attributes(&link["attributes"]),
            })
        };
        array(&span["links"]).iter().map(link).collect()
    };
    let item = |span: &Value| {
        json!({
            "signal": "span",
            "service": origin["service"],
            "scope": origin["scope"],
            "trace_id": text(&span["traceId"]),
            "span_id": text(&span["spanId"]),
            "parent_span_id": text(&span["parentSpanId"]),
            "name": text(&span["name"]),
            "kind": number(&span["kind"]),
            "start": text(&span["startTimeUnixNano"]),
            "end": text(&span["endTimeUnixNano"]),
            "status": number(&span["status"]["code"]),
            "message": text(&span["status"]["message"]),
            "attributes": attributes(&span["attributes"]),
            "events": events(span),
            "links": links(span),
        })
    };
    array(&scope["spans"]).iter().map(item).collect()
}

fn log_records(scope: &Value, origin: &Value) -> Vec<Value> {
    let item = |record: &Value| {
        json!({
            "signal": "log",
            "service": origin["service"],
            "scope": origin["scope"],
            "time": text(&record["timeUnixNano"]),
            "severity": number(&record["severityNumber"]),
            "text": text(&record["severityText"]),
            "body": value(&record["body"]),
            "trace_id": text(&record["traceId"]),
            "span_id": text(&record["spanId"]),
            "attributes": attributes(&record["attributes"]),
        })
    };
    array(&scope["logRecords"]).iter().map(item).collect()
}

fn points(scope: &Value, origin: &Value) -> Vec<Value> {
    let mut items = Vec::new();
    for metric in array(&scope["metrics"]) {
        for kind in ["sum", "gauge", "histogram"] {
            for point in array(&metric[kind]["dataPoints"]) {
                let mut item = json!({
                    "signal": "point",
                    "service": origin["service"],
                    "scope": origin["scope"],
                    "metric": text(&metric["name"]),
                    "unit": text(&metric["unit"]),
                    "kind": kind,
                    "attributes": attributes(&point["attributes"]),
                });
                if kind == "histogram" {
                    item["count"] = integer(&point["count"]);
                    item["sum"] = number(&point["sum"]);
                    item["buckets"] = array(&point["bucketCounts"]).iter().map(integer).collect();
                } else {
                    item["value"] = match &point["asInt"] {
                        Value::Null => number(&point["asDouble"]),
                        int => integer(int),
                    };
                }
                items.push(item);
            }
        }
    }
    items
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text; writers of JSON may leave an empty one out.
fn text(value: &Value) -> Value {
    if value.is_null() { json!("") } else { value.clone() }
}

/// A small number; writers of JSON may leave 0 out.
fn number(value: &Value) -> Value {
    if value.is_null() { json!(0) } else { value.clone() }
}

/// 64-bit integers are strings in OTLP/JSON.
fn integer(value: &Value) -> Value {
    let integer = value.as_str().and_then(|text| text.parse::<i64>().ok());
    integer.map_or_else(|| number(value), Value::from)
}

fn attributes(pairs: &Value) -> Map<String, Value> {
    let pair = |pair: &Value| Some((pair["key"].as_str()?.to_owned(), value(&pair["value"])));
    array(pairs).iter().filter_map(pair).collect()
}

/// An `AnyValue`. Kinds that the scripts never make stay OTLP/JSON.
fn value(any: &Value) -> Value {
    let Some((kind, inner)) = any.as_object().and_then(|any| any.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "stringValue" | "boolValue" | "doubleValue" => inner.clone(),
        "intValue" => integer(inner),
        "arrayValue" => array(&inner["values"]).iter().map(value).collect(),
        _ => any.clone(),
    }
}
