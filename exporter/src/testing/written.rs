//! The telemetry written by a function.

use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{KeyValue, Value};
use std::time::SystemTime;

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
