//! Finds the marks in requests. Each item and each unreadable part has one.
//!
//! The mark of a span is its id, the mark of a log record is the id of its log event, and the mark of a data point is an
//! attribute, or the names of metric and function for Lambda's reports. The name of the destination precedes the mark, because an
//! item for two destinations is expected twice: `audit/span 0000000000000011`.

use super::setup::{DEFAULT, DestinationId, NAMES};
use crate::support::{Telemetry, attribute, body, pairs};
use lambda_otlp_forwarder::{Content, QueuedTelemetry};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use test_support::openobserve::point_attributes;
use wire::Request;
use wire::ids::to_hex;
use wire::reserved::ORIGINAL_TIME;

pub(crate) type Mark = String;

/// The attribute with the mark of an item from OTLP.
pub(crate) const MARK: &str = "mark";

/// An attribute with a text that rules redact.
pub(crate) const NOTE: &str = "note";

#[derive(Debug)]
pub(crate) struct Found {
    /// Without the destination.
    pub(crate) mark: Mark,
    /// The time that a backend compares with its window; 0 for data points.
    pub(crate) time_unix_nano: u64,
    pub(crate) original_time: Option<String>,
    /// The body of a log record, followed by the field of JSON lines.
    pub(crate) text: String,
}

impl Found {
    fn new(mark: Mark, time_unix_nano: u64, attributes: &[KeyValue]) -> Self {
        let original_time = attribute(attributes, ORIGINAL_TIME).map(str::to_owned);
        Self { mark, time_unix_nano, original_time, text: String::new() }
    }
}

pub(crate) fn at(destination: DestinationId, mark: &str) -> Mark {
    format!("{}/{mark}", NAMES[destination])
}

pub(crate) fn split(mark: &str) -> (DestinationId, &str) {
    let (name, mark) = mark.split_once('/').expect("the mark of a destination");
    (destination(name), mark)
}

pub(crate) fn destination(name: &str) -> DestinationId {
    NAMES.iter().position(|known| *known == name).expect("a destination of the schedule")
}

/// Returns `true` for the mark of an undecodable line.
pub(crate) fn is_line(mark: &str) -> bool {
    split(mark).1.starts_with("line ")
}

pub(crate) fn is_raw(mark: &str) -> bool {
    split(mark).1.starts_with("raw ")
}

pub(crate) fn is_item(mark: &str) -> bool {
    !is_line(mark) && !is_raw(mark)
}

pub(crate) fn of_request(request: &Request) -> Vec<Found> {
    let telemetry = Telemetry::of(std::slice::from_ref(request));
    let mut found = Vec::new();
    for span in telemetry.spans() {
        let mark = of_span(&span.span_id);
        let time = span.start_time_unix_nano;
        found.push(Found::new(mark, time, &span.attributes));
    }
    for record in telemetry.records() {
        let uid = attribute(&record.attributes, "log.record.uid").map(of_event);
        let own = || attribute(&record.attributes, MARK).map(str::to_owned);
        let mark = uid.or_else(own).expect("a log record's mark");
        let time = match record.time_unix_nano {
            0 => record.observed_time_unix_nano,
            time => time,
        };
        let text = said(record);
        found.push(Found { text, ..Found::new(mark, time, &record.attributes) });
    }
    for container in &telemetry.metrics {
        let resource = container.resource.as_ref().map(|resource| resource.attributes.as_slice());
        let service = attribute(resource.unwrap_or_default(), "service.name").unwrap_or_default();
        for metric in container.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            for attributes in point_attributes(metric.data.as_ref()) {
                let own = attribute(attributes, MARK).map(str::to_owned);
                let of_report = || format!("point {service} {}{}", metric.name, pairs(attributes));
                found.push(Found::new(own.unwrap_or_else(of_report), 0, attributes));
            }
        }
    }
    found
}

pub(crate) fn of_span(span_id: &[u8]) -> Mark {
    format!("span {}", to_hex(span_id))
}

pub(crate) fn of_event(id: &str) -> Mark {
    format!("record {}", id.trim_start_matches('0'))
}

pub(crate) fn of_line(event_id: &str) -> Mark {
    format!("line {}", event_id.trim_start_matches('0'))
}

/// The mark of unreadable data, which contains `raw-` and a number.
pub(crate) fn of_raw(bytes: &[u8]) -> Mark {
    let text = String::from_utf8_lossy(bytes);
    let (_, from) = text.split_once("raw-").expect("a mark in what cannot be read");
    let digits: String = from.chars().take_while(char::is_ascii_digit).collect();
    format!("raw {digits}")
}

pub(crate) struct Held<'p> {
    pub(crate) destination: DestinationId,
    pub(crate) marks: Vec<Mark>,
    /// The request with its items, if it has one.
    pub(crate) request: Option<(&'p Request, Vec<Found>)>,
}

pub(crate) fn of_parked(parked: &QueuedTelemetry) -> Held<'_> {
    let destination = destination(&parked.destination);
    let default = |mark: &str| vec![at(DEFAULT, mark)];
    let (marks, request) = match &parked.content {
        Content::Request(request) => {
            let found = of_request(request);
            let marks = found.iter().map(|found| at(destination, &found.mark)).collect();
            (marks, Some((request, found)))
        }
        Content::Events(batch) => {
            let of_each: fn(&str) -> Mark =
                if parked.reason.contains("undecodable OTLP") { of_line } else { of_event };
            let marks = batch.events.iter().map(|event| at(DEFAULT, &of_each(&event.id)));
            (marks.collect(), None)
        }
        Content::Execution(_) => (Vec::new(), None),
        Content::Raw(bytes) => (default(&of_raw(bytes)), None),
    };
    Held { destination, marks, request }
}

fn said(record: &LogRecord) -> String {
    match attribute(&record.attributes, "orderId") {
        Some(order) => format!("{} {order}", body(record)),
        None => body(record).to_owned(),
    }
}
