//! What a function has written.

use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{KeyValue, Value};
use std::time::SystemTime;

/// The telemetry of one or more invocations, in the order in which it was written.
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
    /// The only span of this name.
    ///
    /// # Panics
    /// If there is none, or more than one; the message has the names that there are.
    #[must_use]
    #[track_caller]
    pub fn span(&self, name: &str) -> &Span {
        let names = self.spans.iter().map(|span| span.name.as_str());
        only(self.spans.iter().filter(|span| span.name == name), name, names)
    }

    /// The spans below this one.
    pub fn children_of(&self, parent: &Span) -> impl Iterator<Item = &Span> {
        let id = parent.span_id;
        self.spans.iter().filter(move |span| span.parent_span_id == id)
    }

    /// The log records of this span.
    pub fn logs_of(&self, span: &Span) -> impl Iterator<Item = &LogRecord> {
        let id = span.span_id;
        self.logs.iter().filter(move |record| record.span_id == id)
    }

    /// The only metric of this name.
    ///
    /// # Panics
    /// If there is none, or more than one; the message has the names that there are.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> &Metric {
        let names = self.metrics.iter().map(|metric| metric.name.as_str());
        only(self.metrics.iter().filter(|metric| metric.name == name), name, names)
    }
}

#[track_caller]
fn only<'a, T>(
    mut found: impl Iterator<Item = &'a T>,
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> &'a T {
    match (found.next(), found.next()) {
        (Some(only), None) => only,
        (first, _) => {
            let how_many = if first.is_some() { "more than one is" } else { "none is" };
            let names: Vec<&str> = names.collect();
            assert!(
                !names.is_empty(),
                "none is called {name:?}, and there are no others: what goes through `opentelemetry::global` needs \
                 `TestFunction::set_globals`"
            );
            panic!("{how_many} called {name:?}: {}", names.join(", "))
        }
    }
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

/// A link of a span, as to the span that sent a message.
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
    /// As text, whatever it is.
    pub body: String,
    pub attributes: Vec<KeyValue>,
    /// `TraceId::INVALID` outside any span.
    pub trace_id: TraceId,
    /// `SpanId::INVALID` outside any span.
    pub span_id: SpanId,
}

/// What one instrument has measured.
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

/// A data point: what was measured under one set of attributes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataPoint {
    /// The set of attributes.
    pub attributes: Vec<KeyValue>,
    /// The value of a counter or gauge; the sum of a histogram.
    pub value: f64,
    /// How many measurements a histogram holds; 1 of a counter or gauge.
    pub count: u64,
}

/// Access by key, the same for all that has attributes.
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
