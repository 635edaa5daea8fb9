//! Requests with values that a backend may change: types, long and nested values, ids, events, links, exemplars.

use anyhow::Context as _;
use base64::Engine as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ITEMS: u64 = 20;
const DELTA: i32 = 1;

/// Path and body of a request for each signal, with times from `start` on.
pub(super) fn requests(start_unix_nano: u64) -> anyhow::Result<[(&'static str, Vec<u8>); 3]> {
    let times: Vec<u64> = (0..ITEMS).map(|at| start_unix_nano + at * 1_000_003).collect();
    let of_each = |item: fn(u64, u64) -> Value| -> Value {
        times.iter().zip(1..).map(|(time, number)| item(*time, number)).collect()
    };
    let resource = json!({ "attributes": [
        attribute("service.name", &text("edge cases \"ü\" \u{1f980}")),
        attribute("service.version", &text("1")),
        attribute("cloud.region", &text("eu-west-1")),
        attribute("faas.max_memory", &int(134_217_728)),
    ]});
    let scope = json!({ "name": "edge", "version": "0.1" });
    let traces = json!({ "resourceSpans": [{
        "resource": resource, "scopeSpans": [{ "scope": scope, "spans": of_each(span) }],
    }]});
    let logs = json!({ "resourceLogs": [{
        "resource": resource, "scopeLogs": [{ "scope": scope, "logRecords": of_each(record) }],
    }]});
    let metrics = json!({ "resourceMetrics": [{
        "resource": resource,
        "scopeMetrics": [{ "scope": scope, "metrics": [
            { "name": "edge.gauge", "unit": "1", "gauge": { "dataPoints": of_each(gauge_point) } },
            { "name": "edge.sum", "unit": "1", "sum": {
                "dataPoints": of_each(delta_point), "aggregationTemporality": DELTA, "isMonotonic": true,
            } },
            { "name": "edge.histogram", "unit": "1", "histogram": {
                "dataPoints": of_each(histogram_point), "aggregationTemporality": DELTA,
            } },
        ]}],
    }]});
    Ok([
        ("/v1/traces", self::traces(traces)?),
        ("/v1/logs", protobuf::<ExportLogsServiceRequest>(logs)?),
        ("/v1/metrics", protobuf::<ExportMetricsServiceRequest>(metrics)?),
    ])
}

fn protobuf<R: Message + DeserializeOwned>(request: Value) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::from_value::<R>(request).context("OTLP/JSON")?.encode_to_vec())
}

/// An OTLP/JSON request for traces as protobuf.
pub(super) fn traces(request: Value) -> anyhow::Result<Vec<u8>> {
    protobuf::<ExportTraceServiceRequest>(request)
}

/// The requests as OTLP lines.
pub(super) fn lines(start_unix_nano: u64) -> anyhow::Result<Vec<String>> {
    Ok(requests(start_unix_nano)?.map(|(path, body)| line(path, body)).to_vec())
}

pub(super) fn line(path: &str, body: Vec<u8>) -> String {
    json!({
        "__otel_otlp_stdout": "0.16.0",
        "source": "edge-cases",
        "endpoint": format!("http://localhost:4318{path}"),
        "method": "POST",
        "content-type": "application/x-protobuf",
        "payload": base64::engine::general_purpose::STANDARD.encode(body),
        "base64": true,
    })
    .to_string()
}

pub(super) fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": value })
}

fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

fn int(value: i64) -> Value {
    json!({ "intValue": value.to_string() })
}

fn map(key: &str, value: &Value) -> Value {
    json!({ "kvlistValue": { "values": [attribute(key, value)] } })
}

/// Each value under a key of its own, and one key whose type changes from item to item.
fn attributes(number: u64) -> Vec<Value> {
    let values = [
        text(""),
        text("line\nline\t\"quoted\" \\ \u{0} ä \u{1f980}"),
        text(&"long ".repeat(4000)),
        text("12"),
        text("true"),
        text("{\"json\": [1, 2.50]}"),
        json!({ "boolValue": true }),
        int(i64::MAX),
        int(i64::MIN),
        json!({ "doubleValue": 0.1 }),
        json!({ "doubleValue": 1e300 }),
        json!({ "doubleValue": -0.0 }),
        json!({ "bytesValue": "AP+A" }),
        json!({ "arrayValue": { "values": [text("a"), int(2)] } }),
        json!({ "kvlistValue": { "values": [
            attribute("Inner.Key", &json!({ "doubleValue": 2.5 })),
            attribute("deep", &map("deeper", &map("deepest", &int(1)))),
        ] } }),
        // OpenObserve's JSON library marks numbers with this key.
        map("$serde_json::private::Number", &text("no number")),
    ];
    let changing = values.iter().cycle().nth(usize::try_from(number).unwrap_or_default());
    let of_each = values.iter().zip(1..);
    let mut attributes: Vec<Value> =
        of_each.map(|(value, at)| attribute(&format!("edge.Value-{at}"), value)).collect();
    attributes.extend(changing.map(|value| attribute("edge.changing", value)));
    attributes.push(attribute("edge.number", &int(number.cast_signed())));
    // Keys of one column.
    for key in ["edge.same key", "edge.same-key", "Edge.Same_Key", "edge.Value-15.inner.key"] {
        attributes.push(attribute(key, &text(key)));
    }
    // Names of columns that OpenObserve fills itself.
    for name in ["duration", "body", "severity", "_timestamp", "value", "le", "stream"] {
        attributes.push(attribute(name, &text("ours")));
    }
    attributes
}

fn trace_id(number: u64) -> String {
    format!("{:032x}", u128::from(number) << 64 | 0xedbe)
}

fn span_id(number: u64) -> String {
    format!("{number:016x}")
}

/// Attributes of which OpenObserve's processing of generative AI would lose some, in spans that it processes and in others.
fn of_generative_ai(number: u64) -> Vec<Value> {
    let keys =
        ["input", "prompt", "output", "agent.name", "tool.name", "session.id", "gen_ai.usage.cost"];
    let mut attributes: Vec<Value> =
        keys.map(|key| attribute(key, &text(&format!("of {key}")))).to_vec();
    if number.is_multiple_of(3) {
        attributes.push(attribute("gen_ai.operation.name", &text("invoke_agent")));
        attributes.push(attribute("gen_ai.conversation.id", &text("conversation")));
    }
    attributes
}

fn span(time: u64, number: u64) -> Value {
    let is_root = number.is_multiple_of(4);
    let attributes = [attributes(number), of_generative_ai(number)].concat();
    json!({
        "traceId": trace_id(number / 4),
        "spanId": span_id(number),
        "parentSpanId": if is_root { String::new() } else { span_id((number - 1).max(1)) },
        "name": format!("span {number} \u{1f980}"),
        "kind": number % 6,
        "startTimeUnixNano": time.to_string(),
        "endTimeUnixNano": (time + number * 1_001).to_string(),
        "attributes": attributes,
        "events": [{
            "timeUnixNano": (time + 1).to_string(),
            "name": "exception",
            "attributes": [
                attribute("exception.message", &text("quoted \"ä\"")),
                attribute("attempt", &int(3)),
                attribute("name", &text("ours")),
                attribute("binary", &json!({ "bytesValue": "AP8=" })),
            ],
        }],
        "links": [{
            "traceId": trace_id(99),
            "spanId": span_id(7),
            "attributes": [
                attribute("messaging.message.id", &text("m-1")),
                attribute("context", &text("ours")),
            ],
        }],
        "status": { "code": number % 3, "message": if number % 3 == 2 { "failed \"ä\"" } else { "" } },
    })
}

fn record(time: u64, number: u64) -> Value {
    let bodies = [
        text("plain"),
        text(""),
        text("{\"level\": \"info\"}"),
        int(42),
        json!({ "doubleValue": 4.5 }),
        json!({ "boolValue": false }),
        json!({ "kvlistValue": { "values": [
            attribute("level", &text("warn")),
            attribute("Level", &text("error")),
            attribute("n", &int(1)),
        ] } }),
        json!({ "arrayValue": { "values": [text("x")] } }),
    ];
    let body = bodies.into_iter().cycle().nth(usize::try_from(number).unwrap_or_default());
    let severities = ["", "Info", "SEVERE", "CRITICAL", "ERROR"];
    let severity = severities.into_iter().cycle().nth(usize::try_from(number).unwrap_or_default());
    let has_ids = !number.is_multiple_of(3);
    json!({
        "timeUnixNano": if number.is_multiple_of(5) { "0".to_owned() } else { time.to_string() },
        "observedTimeUnixNano": time.to_string(),
        "severityNumber": number,
        "severityText": severity,
        "body": body,
        "attributes": attributes(number),
        "traceId": if has_ids { trace_id(number / 4) } else { String::new() },
        "spanId": if has_ids { span_id(number) } else { String::new() },
    })
}

fn labels(number: u64) -> [Value; 2] {
    [
        attribute("edge.number", &int(number.cast_signed())),
        attribute("edge.Text", &text("a \"b\" ä")),
    ]
}

fn number_point(time: u64, number: u64, start: u64) -> Value {
    let (kind, value) = if number.is_multiple_of(2) {
        ("asInt", json!((number.cast_signed() - 3).to_string()))
    } else {
        ("asDouble", json!(0.1))
    };
    json!({
        "attributes": labels(number),
        "startTimeUnixNano": start.to_string(),
        "timeUnixNano": time.to_string(),
        kind: value,
        "exemplars": [exemplar(time, number)],
    })
}

fn gauge_point(time: u64, number: u64) -> Value {
    number_point(time, number, 0)
}

fn delta_point(time: u64, number: u64) -> Value {
    number_point(time, number, time - 1_000_000)
}

fn histogram_point(time: u64, number: u64) -> Value {
    json!({
        "attributes": labels(number),
        "startTimeUnixNano": (time - 1_000_000).to_string(),
        "timeUnixNano": time.to_string(),
        "count": "6",
        "sum": 12.25,
        "bucketCounts": ["1", "2", "3"],
        "explicitBounds": [0.5, 2.0],
        "exemplars": [exemplar(time, number)],
        "min": 0.25,
        "max": 9.0,
    })
}

fn exemplar(time: u64, number: u64) -> Value {
    json!({
        "timeUnixNano": time.to_string(),
        "traceId": trace_id(number / 4),
        "spanId": span_id(number),
        "asDouble": 0.5,
    })
}
