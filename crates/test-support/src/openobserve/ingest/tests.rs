//! Items that OpenObserve accepts silently and shows wrongly.

use super::*;
use crate::openobserve::oddity::OddityKind::*;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value as Json, json};

/// The ids of a span, and times of 2026-01-01T00:00:00Z.
const TRACE_ID: &str = "01010101010101010101010101010101";
const SPAN_ID: &str = "0202020202020202";
const NOW: u64 = 1_767_225_600_000_000_000;

fn encoded<M: Message + Default + serde::de::DeserializeOwned>(request: Json) -> Vec<u8> {
    serde_json::from_value::<M>(request).unwrap().encode_to_vec()
}

/// A request with a valid item of this signal, after this change.
fn request(signal: Signal, resource: &Json, change: Json) -> Vec<u8> {
    let now = NOW.to_string();
    let mut item = match signal {
        Signal::Traces => {
            json!({ "traceId": TRACE_ID, "spanId": SPAN_ID, "startTimeUnixNano": now, "endTimeUnixNano": now })
        }
        Signal::Logs => json!({ "timeUnixNano": now, "severityText": "INFO" }),
        Signal::Metrics => json!({ "name": "m" }),
    };
    let Json::Object(change) = change else { panic!("no object") };
    item.as_object_mut().unwrap().extend(change);
    match signal {
        Signal::Traces => encoded::<ExportTraceServiceRequest>(
            json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [item] }] }] }),
        ),
        Signal::Logs => encoded::<ExportLogsServiceRequest>(
            json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [item] }] }] }),
        ),
        Signal::Metrics => encoded::<ExportMetricsServiceRequest>(
            json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": [item] }] }] }),
        ),
    }
}

/// The kinds of oddities, and the number of stored items.
fn ingested(signal: Signal, body: Vec<u8>, is_gzipped: bool) -> (Vec<OddityKind>, u64) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    if is_gzipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let target = Target::Otlp { organization: "default".to_owned(), signal };
    let config = Config { clock: Box::new(|| NOW), ..Config::default() };
    let submission = Submission::new(&config, Ok(target), headers, &body.into());
    let verdict = ingest(&config, submission, 0, 0);
    let kinds = verdict.oddities.iter().map(|oddity| oddity.kind).collect();
    (kinds, verdict.records.map_or(0, |records| records.items()))
}

fn attribute(key: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": "x" } })
}

#[track_caller]
fn check(signal: Signal, change: Json, expected: &[OddityKind]) {
    let resource = json!({ "attributes": [attribute("service.name")] });
    let (kinds, _) = ingested(signal, request(signal, &resource, change.clone()), false);
    assert_eq!(kinds, expected, "{change}");
}

#[test]
fn odd_spans_and_log_records_are_noted() {
    let with = |key: &str| json!({ "attributes": [attribute(key)] });
    let before = (NOW - 1).to_string();
    for (change, expected) in [
        (json!({}), &[][..]),
        (json!({ "endTimeUnixNano": before }), &[EndBeforeStart]),
        (json!({ "endTimeUnixNano": "0" }), &[EndBeforeStart]),
        (json!({ "traceId": "00".repeat(16) }), &[InvalidId]),
        (json!({ "parentSpanId": SPAN_ID }), &[]),
        (json!({ "parentSpanId": "03030303" }), &[InvalidId]),
        (with("service.name"), &[AttributeReplacesColumn]),
        (with("flags"), &[AttributeReplacesColumn]),
        (with("duration"), &[]),
    ] {
        check(Signal::Traces, change, expected);
    }
    for (change, expected) in [
        (json!({}), &[][..]),
        (json!({ "severityText": "" }), &[NoSeverityText]),
        (json!({ "traceId": TRACE_ID, "spanId": SPAN_ID }), &[]),
        (json!({ "traceId": SPAN_ID }), &[InvalidId]),
        (json!({ "spanId": "00".repeat(8) }), &[InvalidId]),
        (with("http.route"), &[]),
        (with("Severity"), &[AttributeReplacesColumn]),
        (with("service.name"), &[AttributeReplacesColumn]),
    ] {
        check(Signal::Logs, change, expected);
    }
}

#[test]
fn odd_metrics_are_noted() {
    const DELTA: i32 = 1;
    const CUMULATIVE: i32 = 2;
    let points = |points: Json| json!({ "gauge": { "dataPoints": points } });
    let with = |key: &str| json!({ "attributes": [attribute(key)], "asDouble": 1.0 });
    let sum = |temporality: i32, start: u64| {
        let point = json!({ "startTimeUnixNano": start.to_string(), "asDouble": 1.0 });
        json!({ "sum": { "dataPoints": [point], "aggregationTemporality": temporality, "isMonotonic": true } })
    };
    let histogram = |point: Json| json!({ "histogram": { "dataPoints": [point], "aggregationTemporality": DELTA } });
    for (change, expected) in [
        (points(json!([with("a"), with("a")])), &[][..]),
        (points(json!([with("a"), with("b")])), &[GaugeAttributesDiffer]),
        (points(json!([{}])), &[NoValue]),
        (points(json!([])), &[EmptyMetric]),
        (json!({}), &[EmptyMetric]),
        (sum(DELTA, 0), &[]),
        (sum(DELTA, NOW), &[DeltaStartTime]),
        (sum(CUMULATIVE, NOW), &[]),
        (histogram(json!({ "sum": 1.0, "min": 1.0, "max": 1.0 })), &[]),
        (histogram(json!({ "sum": 1.0, "max": 1.0 })), &[IncompleteHistogram]),
    ] {
        check(Signal::Metrics, change, expected);
    }
}

#[test]
fn what_openobserve_does_not_read_is_noted() {
    let nameless = request(Signal::Traces, &json!({}), json!({}));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &nameless).unwrap();
    let members = encoder.finish().unwrap().repeat(3);
    assert_eq!(ingested(Signal::Traces, members, true), (vec![BytesAfterGzip, NoServiceName], 1));
    // The record has four columns without attributes.
    for (keys, expected) in [(996, (vec![], 1)), (997, (vec![TooManyColumns], 0))] {
        let keys: Json = (0..keys).map(|number| attribute(&format!("key.{number}"))).collect();
        let body = request(Signal::Logs, &json!({}), json!({ "attributes": keys }));
        assert_eq!(ingested(Signal::Logs, body, false), expected);
    }
}
