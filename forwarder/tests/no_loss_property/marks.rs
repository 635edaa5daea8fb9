//! Finds the marks in what was sent: each item carries one, and so does what could not be read.
//!
//! A span's mark is its id, a log record's the id of its log event, a data point's an attribute, or where
//! Lambda reported it the names of its metric and of its function.

use lambda_otlp_forwarder::parking::{Content, Parked};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::fmt::Write as _;
use wire::{Logs, Metrics, Request, SignalKind, Traces};

pub(crate) type Mark = String;

/// The attribute that holds the mark of an item that came as OTLP.
pub(crate) const MARK: &str = "mark";

/// The marks of the items of a request, in order.
pub(crate) fn of_request(request: &Request) -> Vec<Mark> {
    match request.kind() {
        SignalKind::Traces => {
            let traces = request.decode::<Traces>().unwrap().unwrap();
            let scopes = traces.resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
            scopes.flat_map(|scope| scope.spans).map(|span| of_span(&span.span_id)).collect()
        }
        SignalKind::Logs => {
            let logs = request.decode::<Logs>().unwrap().unwrap();
            let scopes = logs.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
            let records = scopes.flat_map(|scope| scope.log_records);
            let mark = |attributes: &[KeyValue]| {
                let uid = text(attributes, "log.record.uid").map(of_event);
                uid.or_else(|| text(attributes, MARK).map(str::to_owned))
            };
            records.map(|record| mark(&record.attributes).expect("a log record's mark")).collect()
        }
        SignalKind::Metrics => {
            let mut marks = Vec::new();
            for metrics in request.decode::<Metrics>().unwrap().unwrap().resource_metrics {
                let function = function(metrics.resource.as_ref());
                let scopes = metrics.scope_metrics.into_iter();
                for metric in scopes.flat_map(|scope| scope.metrics) {
                    let points = points(metric.data.as_ref().expect("a metric's points"));
                    marks.extend(points.into_iter().map(|attributes| {
                        let own = text(attributes, MARK).map(str::to_owned);
                        own.unwrap_or_else(|| of_report(&function, &metric.name, attributes))
                    }));
                }
            }
            marks
        }
    }
}

pub(crate) fn of_span(span_id: &[u8]) -> Mark {
    span_id.iter().fold("span ".to_owned(), |mut mark, byte| {
        write!(mark, "{byte:02x}").unwrap();
        mark
    })
}

/// The log record that a log event becomes.
pub(crate) fn of_event(id: &str) -> Mark {
    format!("record {}", id.trim_start_matches('0'))
}

/// The line of a log event that does not decode.
pub(crate) fn of_line(event_id: &str) -> Mark {
    format!("line {}", event_id.trim_start_matches('0'))
}

/// Something that nobody can read; its text holds `raw-` and a number.
pub(crate) fn of_raw(bytes: &[u8]) -> Mark {
    let text = String::from_utf8_lossy(bytes);
    let (_, from) = text.split_once("raw-").expect("a mark in what cannot be read");
    let digits: String = from.chars().take_while(char::is_ascii_digit).collect();
    format!("raw {digits}")
}

/// What a message of ours holds.
pub(crate) fn of_parked(parked: &Parked) -> Vec<Mark> {
    match &parked.content {
        Content::Request(request) => of_request(request),
        Content::Line { event_id, .. } => vec![of_line(event_id)],
        Content::Events(batch) => batch.events.iter().map(|event| of_event(&event.id)).collect(),
        Content::Raw(bytes) => vec![of_raw(bytes)],
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn function(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default();
    text(attributes, "service.name").unwrap_or_default().to_owned()
}

fn of_report(function: &str, metric: &str, attributes: &[KeyValue]) -> Mark {
    let mut mark = format!("point {function} {metric}");
    for KeyValue { key, value, .. } in attributes {
        let value = value.as_ref().and_then(|value| value.value.as_ref());
        write!(mark, " {key}={value:?}").unwrap();
    }
    mark
}

fn points(data: &Data) -> Vec<&[KeyValue]> {
    // The point types share this field but no trait.
    match data {
        Data::Gauge(gauge) => gauge.data_points.iter().map(|p| &*p.attributes).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(|p| &*p.attributes).collect(),
        Data::Histogram(h) => h.data_points.iter().map(|p| &*p.attributes).collect(),
        Data::ExponentialHistogram(h) => h.data_points.iter().map(|p| &*p.attributes).collect(),
        Data::Summary(summary) => summary.data_points.iter().map(|p| &*p.attributes).collect(),
    }
}
