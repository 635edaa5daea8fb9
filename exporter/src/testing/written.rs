//! The telemetry written by a function, read like the forwarder reads it.

use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::trace::v1 as traces;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::{Limits, Logs, Metrics, Request, Traces};

/// The telemetry of one or more invocations, in the order it was written.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Written {
    /// The attributes of the function's resource.
    pub resource: Vec<KeyValue>,
    /// Spans, children before their parents.
    pub spans: Vec<Span>,
    /// Log records.
    pub logs: Vec<LogRecord>,
    /// Metrics.
    pub metrics: Vec<Metric>,
}

impl Written {
    /// The newest span of this name.
    ///
    /// # Panics
    /// If there is none; the message lists the names of all spans.
    #[must_use]
    #[track_caller]
    pub fn span(&self, name: &str) -> &Span {
        newest(&self.spans, name, |span| &span.name)
    }

    /// The child spans of this span.
    pub fn children_of(&self, parent: &Span) -> impl Iterator<Item = &Span> {
        let id = parent.span_id;
        self.spans.iter().filter(move |span| span.parent_span_id == id)
    }

    /// The log records of this span.
    pub fn logs_of(&self, span: &Span) -> impl Iterator<Item = &LogRecord> {
        let id = span.span_id;
        self.logs.iter().filter(move |record| record.span_id == id)
    }

    /// The newest metric of this name: the one of the last invocation that recorded a measurement.
    ///
    /// # Panics
    /// If there is none; the message lists the names of all metrics.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> &Metric {
        newest(&self.metrics, name, |metric| &metric.name)
    }
}

#[track_caller]
fn newest<'a, T>(all: &'a [T], name: &str, name_of: impl Fn(&T) -> &str) -> &'a T {
    let newest = all.iter().rfind(|one| name_of(one) == name);
    newest.unwrap_or_else(|| {
        assert!(
            !all.is_empty(),
            "none is called {name:?}, and there are no others: telemetry through `opentelemetry::global` needs \
             `TestFunction::set_globals`"
        );
        let names: Vec<&str> = all.iter().map(name_of).collect();
        panic!("none is called {name:?}: {}", names.join(", "))
    })
}

/// A span.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "OpenTelemetry's own names")]
pub struct Span {
    pub name: String,
    pub kind: SpanKind,
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// `SpanId::INVALID` without a parent.
    pub parent_span_id: SpanId,
    pub status: Status,
    pub attributes: Vec<KeyValue>,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
    pub start_time: SystemTime,
    pub end_time: SystemTime,
}

/// An event of a span, such as `exception`.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "OpenTelemetry's own names")]
pub struct Event {
    pub name: String,
    pub attributes: Vec<KeyValue>,
}

/// A link of a span, for example to the sender of a message.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "OpenTelemetry's own names")]
pub struct Link {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub attributes: Vec<KeyValue>,
}

/// A log record.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "OpenTelemetry's own names")]
pub struct LogRecord {
    pub severity: Option<Severity>,
    /// Converted to text.
    pub body: String,
    pub attributes: Vec<KeyValue>,
    /// `TraceId::INVALID` outside any span.
    pub trace_id: TraceId,
    /// `SpanId::INVALID` outside any span.
    pub span_id: SpanId,
}

/// The measurements of one instrument.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "OpenTelemetry's own names")]
pub struct Metric {
    pub name: String,
    pub unit: String,
    pub data_points: Vec<DataPoint>,
}

impl Metric {
    /// The sum of the values of all data points.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.data_points.iter().map(|point| point.value).sum()
    }
}

/// A data point: the measurements for one set of attributes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataPoint {
    /// The set of attributes.
    pub attributes: Vec<KeyValue>,
    /// The value of a counter or gauge; the sum of a histogram.
    pub value: f64,
    /// Number of measurements in a histogram; 1 for a counter or gauge.
    pub count: u64,
}

/// Access to attributes by key.
macro_rules! attributes {
    ($($type:ty),+) => {$(
        impl $type {
            /// The value of an attribute.
            #[must_use]
            pub fn attribute(&self, key: &str) -> Option<&Value> {
                let found = self.attributes.iter().find(|attribute| attribute.key.as_str() == key);
                found.map(|attribute| &attribute.value)
            }
        }
    )+};
}

attributes!(Span, Event, Link, LogRecord, DataPoint);

#[track_caller]
pub(super) fn read_lines(lines: &[String]) -> Written {
    let mut written = Written::default();
    for line in lines {
        let reading = wire::read_line(line, &Limits::default());
        let reading = reading.unwrap_or_else(|| panic!("no OTLP line: {line}"));
        assert!(reading.undecodable.is_empty(), "a line that does not decode: {line}");
        for request in &reading.decoded {
            let is_read = add(&mut written, request).is_some();
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
