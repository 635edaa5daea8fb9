//! Requests with values that a backend may change: types, long and nested values, ids, events, links, exemplars.

use base64::Engine as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use serde_json::json;

const ITEMS: u64 = 20;
const DELTA: i32 = 1;

/// Path and body of a request for each signal, with times from `start` on.
pub(super) fn requests(start_unix_nano: u64) -> [(&'static str, Vec<u8>); 3] {
    let times: Vec<u64> = (0..ITEMS).map(|at| start_unix_nano + at * 1_000_003).collect();
    let spans = times.iter().zip(1..).map(|(time, number)| span(*time, number)).collect();
    let records = times.iter().zip(1..).map(|(time, number)| record(*time, number)).collect();
    let traces = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..Default::default() }],
            ..Default::default()
        }],
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: records,
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics(&times),
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    [
        ("/v1/traces", traces.encode_to_vec()),
        ("/v1/logs", logs.encode_to_vec()),
        ("/v1/metrics", metrics.encode_to_vec()),
    ]
}

/// The requests as OTLP lines.
pub(super) fn lines(start_unix_nano: u64) -> Vec<String> {
    let line = |(path, body): (&str, Vec<u8>)| {
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
    };
    requests(start_unix_nano).map(line).to_vec()
}

fn resource() -> Resource {
    let attributes = vec![
        attribute("service.name", Value::StringValue("edge cases \"ü\" \u{1f980}".to_owned())),
        attribute("service.version", Value::StringValue("1".to_owned())),
        attribute("cloud.region", Value::StringValue("eu-west-1".to_owned())),
        attribute("faas.max_memory", Value::IntValue(134_217_728)),
    ];
    Resource { attributes, ..Default::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "edge".to_owned(),
        version: "0.1".to_owned(),
        ..Default::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

/// Each value under a key of its own, and one key whose type changes from item to item.
fn attributes(number: u64) -> Vec<KeyValue> {
    let values = [
        text(""),
        text("line\nline\t\"quoted\" \\ \u{0} ä \u{1f980}"),
        text(&"long ".repeat(4000)),
        text("12"),
        text("true"),
        text("{\"json\": [1, 2.50]}"),
        Value::BoolValue(true),
        Value::IntValue(i64::MAX),
        Value::IntValue(i64::MIN),
        Value::DoubleValue(0.1),
        Value::DoubleValue(1e300),
        Value::DoubleValue(-0.0),
        Value::BytesValue(vec![0, 255, 128]),
        Value::ArrayValue(ArrayValue {
            values: [text("a"), Value::IntValue(2)]
                .map(|value| AnyValue { value: Some(value) })
                .into(),
        }),
        Value::KvlistValue(KeyValueList {
            values: vec![
                attribute("Inner.Key", Value::DoubleValue(2.5)),
                attribute(
                    "deep",
                    Value::KvlistValue(KeyValueList {
                        values: vec![attribute(
                            "deeper",
                            Value::KvlistValue(KeyValueList {
                                values: vec![attribute("deepest", Value::IntValue(1))],
                            }),
                        )],
                    }),
                ),
            ],
        }),
    ];
    let changing = values.iter().cycle().nth(usize::try_from(number).unwrap_or_default()).cloned();
    let mut attributes: Vec<KeyValue> = values
        .into_iter()
        .zip(1..)
        .map(|(value, at)| attribute(&format!("edge.Value-{at}"), value))
        .collect();
    attributes.extend(changing.map(|value| attribute("edge.changing", value)));
    attributes.push(attribute("edge.number", Value::IntValue(number.cast_signed())));
    // Keys of one column.
    for key in ["edge.same key", "edge.same-key", "Edge.Same_Key", "edge.Value-15.inner.key"] {
        attributes.push(attribute(key, text(key)));
    }
    // Names of columns that OpenObserve fills itself.
    for name in ["duration", "body", "severity", "_timestamp", "value", "le", "stream"] {
        attributes.push(attribute(name, text("ours")));
    }
    attributes
}

fn trace_id(number: u64) -> Vec<u8> {
    (u128::from(number) << 64 | 0xedbe).to_be_bytes().to_vec()
}

fn span(time: u64, number: u64) -> Span {
    Span {
        trace_id: trace_id(number / 4),
        span_id: number.to_be_bytes().to_vec(),
        parent_span_id: if number.is_multiple_of(4) {
            Vec::new()
        } else {
            (number - 1).max(1).to_be_bytes().to_vec()
        },
        name: format!("span {number} \u{1f980}"),
        kind: i32::try_from(number % 6).unwrap_or_default(),
        start_time_unix_nano: time,
        end_time_unix_nano: time + number * 1_001,
        attributes: attributes(number),
        events: vec![Event {
            time_unix_nano: time + 1,
            name: "exception".to_owned(),
            attributes: vec![
                attribute("exception.message", text("quoted \"ä\"")),
                attribute("attempt", Value::IntValue(3)),
                attribute("name", text("ours")),
                attribute("binary", Value::BytesValue(vec![0, 255])),
            ],
            ..Default::default()
        }],
        links: vec![Link {
            trace_id: trace_id(99),
            span_id: 7_u64.to_be_bytes().to_vec(),
            attributes: vec![
                attribute("messaging.message.id", text("m-1")),
                attribute("context", text("ours")),
            ],
            ..Default::default()
        }],
        status: Some(Status {
            code: i32::try_from(number % 3).unwrap_or_default(),
            message: if number % 3 == 2 { "failed \"ä\"".to_owned() } else { String::new() },
        }),
        ..Default::default()
    }
}

fn record(time: u64, number: u64) -> LogRecord {
    let bodies = [
        text("plain"),
        text(""),
        text("{\"level\": \"info\"}"),
        Value::IntValue(42),
        Value::DoubleValue(4.5),
        Value::BoolValue(false),
        Value::KvlistValue(KeyValueList {
            values: vec![
                attribute("level", text("warn")),
                attribute("Level", text("error")),
                attribute("n", Value::IntValue(1)),
            ],
        }),
        Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(text("x")) }] }),
    ];
    let body = bodies.into_iter().cycle().nth(usize::try_from(number).unwrap_or_default());
    LogRecord {
        time_unix_nano: if number.is_multiple_of(5) { 0 } else { time },
        observed_time_unix_nano: time,
        severity_number: i32::try_from(number).unwrap_or_default(),
        severity_text: if number.is_multiple_of(2) { "Info".to_owned() } else { String::new() },
        body: Some(AnyValue { value: body }),
        attributes: attributes(number),
        trace_id: if number.is_multiple_of(3) { Vec::new() } else { trace_id(number / 4) },
        span_id: if number.is_multiple_of(3) { Vec::new() } else { number.to_be_bytes().to_vec() },
        ..Default::default()
    }
}

fn metrics(times: &[u64]) -> Vec<Metric> {
    let labels = |number: u64| {
        vec![
            attribute("edge.number", Value::IntValue(number.cast_signed())),
            attribute("edge.Text", text("a \"b\" ä")),
        ]
    };
    let points = |delta: bool| -> Vec<NumberDataPoint> {
        let point = |(time, number): (&u64, u64)| NumberDataPoint {
            attributes: labels(number),
            start_time_unix_nano: if delta { time - 1_000_000 } else { 0 },
            time_unix_nano: *time,
            value: Some(if number.is_multiple_of(2) {
                number_data_point::Value::AsInt(number.cast_signed() - 3)
            } else {
                number_data_point::Value::AsDouble(0.1)
            }),
            exemplars: vec![exemplar(*time, number)],
            ..Default::default()
        };
        times.iter().zip(1..).map(point).collect()
    };
    let histogram = |(time, number): (&u64, u64)| HistogramDataPoint {
        attributes: labels(number),
        start_time_unix_nano: time - 1_000_000,
        time_unix_nano: *time,
        count: 6,
        sum: Some(12.25),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 2.0],
        exemplars: vec![exemplar(*time, number)],
        min: Some(0.25),
        max: Some(9.0),
        ..Default::default()
    };
    let metric = |name: &str, data| Metric {
        name: name.to_owned(),
        unit: "1".to_owned(),
        data: Some(data),
        ..Default::default()
    };
    vec![
        metric("edge.gauge", metric::Data::Gauge(Gauge { data_points: points(false) })),
        metric(
            "edge.sum",
            metric::Data::Sum(Sum {
                data_points: points(true),
                aggregation_temporality: DELTA,
                is_monotonic: true,
            }),
        ),
        metric(
            "edge.histogram",
            metric::Data::Histogram(Histogram {
                data_points: times.iter().zip(1..).map(histogram).collect(),
                aggregation_temporality: DELTA,
            }),
        ),
    ]
}

fn exemplar(time: u64, number: u64) -> Exemplar {
    Exemplar {
        time_unix_nano: time,
        trace_id: trace_id(number / 4),
        span_id: number.to_be_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(0.5)),
        ..Default::default()
    }
}
