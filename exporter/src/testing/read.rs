//! Reads lines like the forwarder.

use super::written::{DataPoint, Event, Link, LogRecord, Metric, Span, Written};
use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::trace::v1 as traces;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::{Limits, Logs, Metrics, Request, Traces};

#[track_caller]
pub(super) fn lines(lines: &[String]) -> Written {
    let mut written = Written::default();
    for line in lines {
        let reading = wire::read_line(line, &Limits::default());
        let reading = reading.unwrap_or_else(|| panic!("no OTLP line: {line}"));
        assert!(reading.undecodable.is_empty(), "a line that does not decode: {line}");
        for decoded in reading.decoded {
            let is_read = add(&mut written, &decoded.request).is_some();
            assert!(is_read, "a request that does not decode: {line}");
        }
    }
    written
}

fn add(written: &mut Written, request: &Request) -> Option<()> {
    if let Some(request) = request.decode::<Traces>() {
        for resource in request.ok()?.resource_spans {
            written.resource = attributes(resource.resource.unwrap_or_default().attributes);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            written.spans.extend(spans.map(span));
        }
    } else if let Some(request) = request.decode::<Logs>() {
        for resource in request.ok()?.resource_logs {
            written.resource = attributes(resource.resource.unwrap_or_default().attributes);
            let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            written.logs.extend(records.map(log_record));
        }
    } else if let Some(request) = request.decode::<Metrics>() {
        for resource in request.ok()?.resource_metrics {
            written.resource = attributes(resource.resource.unwrap_or_default().attributes);
            let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            written.metrics.extend(metrics.map(metric));
        }
    }
    Some(())
}

fn span(span: traces::Span) -> Span {
    Span {
        kind: match span.kind() {
            traces::span::SpanKind::Server => SpanKind::Server,
            traces::span::SpanKind::Client => SpanKind::Client,
            traces::span::SpanKind::Producer => SpanKind::Producer,
            traces::span::SpanKind::Consumer => SpanKind::Consumer,
            traces::span::SpanKind::Internal | traces::span::SpanKind::Unspecified => {
                SpanKind::Internal
            }
        },
        status: status(span.status.unwrap_or_default()),
        trace_id: trace_id(&span.trace_id),
        span_id: span_id(&span.span_id),
        parent_span_id: span_id(&span.parent_span_id),
        name: span.name,
        attributes: attributes(span.attributes),
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().map(link).collect(),
        start_time: time(span.start_time_unix_nano),
        end_time: time(span.end_time_unix_nano),
    }
}

fn status(status: traces::Status) -> Status {
    match status.code() {
        traces::status::StatusCode::Unset => Status::Unset,
        traces::status::StatusCode::Ok => Status::Ok,
        traces::status::StatusCode::Error => Status::error(status.message),
    }
}

fn event(event: traces::span::Event) -> Event {
    Event { name: event.name, attributes: attributes(event.attributes) }
}

fn link(link: traces::span::Link) -> Link {
    Link {
        trace_id: trace_id(&link.trace_id),
        span_id: span_id(&link.span_id),
        attributes: attributes(link.attributes),
    }
}

fn log_record(record: logs::LogRecord) -> LogRecord {
    LogRecord {
        severity: severity(record.severity_number),
        body: record.body.map(value).map(|body| body.as_str().into_owned()).unwrap_or_default(),
        attributes: attributes(record.attributes),
        trace_id: trace_id(&record.trace_id),
        span_id: span_id(&record.span_id),
    }
}

/// The first of a level's four numbers, which `tracing`'s levels become (OpenTelemetry specification, "Field: SeverityNumber").
fn severity(number: i32) -> Option<Severity> {
    match number {
        1..=4 => Some(Severity::Trace),
        5..=8 => Some(Severity::Debug),
        9..=12 => Some(Severity::Info),
        13..=16 => Some(Severity::Warn),
        17..=20 => Some(Severity::Error),
        21..=24 => Some(Severity::Fatal),
        _ => None,
    }
}

fn metric(metric: metrics::Metric) -> Metric {
    use metrics::metric::Data;

    let numbers = |points: Vec<metrics::NumberDataPoint>| points.into_iter().map(number).collect();
    let histogram = |attributes_of, sum: Option<f64>, count| {
        let value = sum.unwrap_or_default();
        DataPoint { attributes: attributes(attributes_of), value, count }
    };
    let data_points = match metric.data {
        Some(Data::Gauge(gauge)) => numbers(gauge.data_points),
        Some(Data::Sum(sum)) => numbers(sum.data_points),
        Some(Data::Histogram(data)) => {
            let points = data.data_points.into_iter();
            points.map(|point| histogram(point.attributes, point.sum, point.count)).collect()
        }
        Some(Data::ExponentialHistogram(data)) => {
            let points = data.data_points.into_iter();
            points.map(|point| histogram(point.attributes, point.sum, point.count)).collect()
        }
        // The SDK creates none.
        Some(Data::Summary(_)) | None => Vec::new(),
    };
    Metric { name: metric.name, unit: metric.unit, data_points }
}

#[expect(clippy::cast_precision_loss, reason = "a test compares small numbers")]
fn number(point: metrics::NumberDataPoint) -> DataPoint {
    let value = match point.value {
        Some(metrics::number_data_point::Value::AsDouble(value)) => value,
        Some(metrics::number_data_point::Value::AsInt(value)) => value as f64,
        None => 0.0,
    };
    DataPoint { attributes: attributes(point.attributes), value, count: 1 }
}

fn attributes(attributes: Vec<common::KeyValue>) -> Vec<KeyValue> {
    let attributes = attributes.into_iter();
    attributes
        .map(|attribute| KeyValue::new(attribute.key, attribute.value.map_or("".into(), value)))
        .collect()
}

/// Types unknown to the API become text.
fn value(any: common::AnyValue) -> Value {
    use common::any_value::Value as Any;

    match any.value {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(value)) => value.into(),
        Some(Any::IntValue(value)) => value.into(),
        Some(Any::DoubleValue(value)) => value.into(),
        Some(Any::ArrayValue(array)) => {
            let texts =
                array.values.into_iter().map(value).map(|value| value.as_str().into_owned());
            Value::Array(Array::String(texts.map(StringValue::from).collect()))
        }
        Some(other) => format!("{other:?}").into(),
        None => "".into(),
    }
}

/// Malformed ids become invalid ones.
fn trace_id(bytes: &[u8]) -> TraceId {
    bytes.try_into().map_or(TraceId::INVALID, TraceId::from_bytes)
}

fn span_id(bytes: &[u8]) -> SpanId {
    bytes.try_into().map_or(SpanId::INVALID, SpanId::from_bytes)
}

fn time(unix_nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_nanos)
}
