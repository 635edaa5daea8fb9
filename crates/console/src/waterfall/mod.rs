//! Traces as rows: spans depth first, with their log records.

pub mod draw;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use wire::Depth;
use wire::ids::to_hex;

#[derive(Default)]
pub struct Waterfall {
    pub trace_id: String,
    /// The ids of its invocations.
    pub invocations: BTreeSet<String>,
    /// The time of its first span, in nanoseconds since the Unix epoch; 0 if it has no span yet.
    pub began: u64,
    /// Milliseconds from its first span to the end of its last.
    pub millis: f64,
    pub rows: Vec<Row>,
    /// Log records without a span in the trace.
    pub loose: Vec<Log>,
}

pub struct Row {
    pub depth: usize,
    pub service: String,
    pub name: String,
    /// Beginning and end, as fractions of the trace's duration.
    pub from: f64,
    pub to: f64,
    pub millis: f64,
    pub has_failed: bool,
    /// The reason for its failure, if the span has one.
    pub why_failed: String,
    pub number: String,
    /// The reason why it exceeds its parent, or another oddity.
    pub remark: &'static str,
    /// The linked spans: service, name and trace, or their ids.
    pub links: Vec<String>,
    pub logs: Vec<Log>,
}

pub struct Log {
    pub service: String,
    pub level: String,
    pub body: String,
    pub number: String,
    /// In nanoseconds since the Unix epoch; 0 if unknown.
    pub time: u64,
    /// A warning or an error. Its text has the fields too, and is never cut.
    pub is_serious: bool,
}

/// A span, log record or metric, with its service and scope.
#[derive(Clone, Debug)]
pub struct Item<T> {
    pub service: String,
    pub scope: String,
    pub item: T,
}

/// The spans and log records of one trace.
#[derive(Default)]
pub struct Trace<'a> {
    pub spans: Vec<&'a Item<Span>>,
    pub records: Vec<&'a Item<LogRecord>>,
}

/// Returns all traces by their ids. Log records without a trace are left out.
pub fn traces<'a>(
    spans: &'a [Item<Span>],
    records: &'a [Item<LogRecord>],
) -> BTreeMap<&'a [u8], Trace<'a>> {
    let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
    for span in spans {
        traces.entry(&span.item.trace_id).or_default().spans.push(span);
    }
    for record in records.iter().filter(|record| !record.item.trace_id.is_empty()) {
        traces.entry(&record.item.trace_id).or_default().records.push(record);
    }
    traces
}

/// Returns all traces, ordered by their beginnings.
pub fn waterfalls(spans: &[Item<Span>], records: &[Item<LogRecord>]) -> Vec<Waterfall> {
    let all: AllSpans<'_> = spans.iter().map(|own| (ids_of(&own.item), own)).collect();
    let traces = traces(spans, records).into_iter();
    let mut waterfalls: Vec<_> =
        traces.map(|(trace_id, trace)| trace.waterfall(trace_id, &all)).collect();
    waterfalls.sort_by_key(|trace| trace.began);
    waterfalls
}

impl Log {
    /// Uses the attributes as text if the record has no body, like the records of `#[instrument(err)]`.
    pub fn of(Item { service, item: record, .. }: &Item<LogRecord>) -> Self {
        let mut body = record.body.as_ref().map(text).unwrap_or_default();
        let is_serious = record.severity_number >= SeverityNumber::Warn as i32;
        if body.is_empty() || is_serious {
            let is_field = |attribute: &&KeyValue| {
                body.is_empty() || !OF_EACH_RECORD.iter().any(|key| attribute.key.starts_with(key))
            };
            let fields = record.attributes.iter().filter(is_field);
            let fields = fields.map(|KeyValue { key, value, .. }| {
                format!("{key}={}", value.as_ref().map(text).unwrap_or_default())
            });
            let fields: Vec<String> = fields.collect();
            let parts = std::iter::once(body).chain(fields).filter(|part| !part.is_empty());
            body = parts.collect::<Vec<_>>().join(" ");
        }
        Self {
            service: service.clone(),
            level: record.severity_text.clone(),
            body,
            number: number(&record.attributes),
            time: time_of(record),
            is_serious,
        }
    }
}

fn time_of(record: &LogRecord) -> u64 {
    match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        time => time,
    }
}

/// Beginnings of keys that the libraries add to each record, or whose value is in the text.
const OF_EACH_RECORD: &[&str] =
    &["code.", "thread.", "faas.", "log.", "aws.", "exception.stacktrace", "demo."];

/// The spans of all traces, by trace id and span id.
type AllSpans<'a> = BTreeMap<(&'a [u8], &'a [u8]), &'a Item<Span>>;

fn ids_of(span: &Span) -> (&[u8], &[u8]) {
    (&span.trace_id, &span.span_id)
}

impl Trace<'_> {
    fn waterfall(mut self, trace_id: &[u8], all: &AllSpans<'_>) -> Waterfall {
        self.records.sort_by_key(|record| time_of(&record.item));
        let ids: BTreeSet<&[u8]> =
            self.spans.iter().map(|span| span.item.span_id.as_slice()).collect();
        let loose = self.records.iter();
        let loose = loose.filter(|record| !ids.contains(record.item.span_id.as_slice()));
        let invocation = |span: &&Item<Span>| text_of(&span.item.attributes, INVOCATION_ID);
        let (began, end) = self.bounds();
        Waterfall {
            trace_id: to_hex(trace_id),
            invocations: self.spans.iter().filter_map(invocation).collect(),
            began,
            millis: millis_between(began, end),
            loose: loose.map(|record| Log::of(record)).collect(),
            rows: self.rows(&ids, all),
        }
    }

    /// Returns the spans depth first, children by start time. A span without its parent in the trace is a root.
    ///
    /// Every span gets one row, whatever its ids are. If parents form a circle, its first span becomes a root. If an id
    /// occurs twice, the first span has the children and the log records.
    fn rows(&self, ids: &BTreeSet<&[u8]>, all: &AllSpans<'_>) -> Vec<Row> {
        let (start, end) = self.bounds();
        let mut spans = self.spans.clone();
        spans.sort_by_key(|span| span.item.start_time_unix_nano);
        // The latest first, because the stack below returns the last first.
        let mut children: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (place, span) in spans.iter().enumerate().rev() {
            children.entry(&span.item.parent_span_id).or_default().push(place);
        }
        let mut logs: BTreeMap<&[u8], Vec<Log>> = BTreeMap::new();
        for record in &self.records {
            logs.entry(&record.item.span_id).or_default().push(Log::of(record));
        }
        let is_root = |span: &Item<Span>| !ids.contains(span.item.parent_span_id.as_slice());
        let places = spans.iter().enumerate();
        let roots = places.filter(|(_, span)| is_root(span)).map(|(place, _)| (place, ""));
        let others = (0..spans.len()).map(|place| (place, "its parents form a circle"));
        let roots: Vec<_> = roots.chain(others).collect();
        let mut left: Vec<Option<&Item<Span>>> = spans.into_iter().map(Some).collect();
        let mut rows = Vec::with_capacity(left.len());
        for (root, why_root) in roots {
            let mut waiting: Vec<(usize, Option<&Item<Span>>, usize)> = vec![(root, None, 0)];
            while let Some((place, parent, depth)) = waiting.pop() {
                let Some(found) = left.get_mut(place).and_then(Option::take) else { continue };
                let span = &found.item;
                rows.push(Row {
                    depth,
                    service: found.service.clone(),
                    name: span.name.clone(),
                    from: share(span.start_time_unix_nano, start, end),
                    to: share(span.end_time_unix_nano, start, end),
                    millis: millis(span),
                    has_failed: has_failed(span),
                    why_failed: why_failed(span),
                    number: number(&span.attributes),
                    remark: parent.map_or(why_root, |parent| remark(found, parent)),
                    links: span.links.iter().map(|link| linked(link, all)).collect(),
                    logs: logs.remove(span.span_id.as_slice()).unwrap_or_default(),
                });
                let below = children.remove(span.span_id.as_slice()).unwrap_or_default();
                waiting.extend(below.into_iter().map(|child| (child, Some(found), depth + 1)));
            }
        }
        rows
    }

    fn bounds(&self) -> (u64, u64) {
        let spans = || self.spans.iter().map(|span| &span.item);
        let start = spans().map(|span| span.start_time_unix_nano).min().unwrap_or(0);
        let end = spans().map(|span| span.end_time_unix_nano).max().unwrap_or(start);
        (start, end)
    }
}

/// Returns the place of a time between the start and the end of its trace, as a fraction.
#[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
fn share(time: u64, start: u64, end: u64) -> f64 {
    time.saturating_sub(start) as f64 / end.saturating_sub(start).max(1) as f64
}

fn linked(link: &Link, all: &AllSpans<'_>) -> String {
    let trace = to_hex(&link.trace_id);
    match all.get(&(link.trace_id.as_slice(), link.span_id.as_slice())) {
        Some(Item { service, item, .. }) => format!("{} of {service}, trace {trace}", item.name),
        None => format!("span {}, trace {trace}", to_hex(&link.span_id)),
    }
}

/// Explains why a span exceeds its parent, which readers do not expect.
fn remark(span: &Item<Span>, parent: &Item<Span>) -> &'static str {
    let is_within = span.item.start_time_unix_nano >= parent.item.start_time_unix_nano
        && span.item.end_time_unix_nano <= parent.item.end_time_unix_nano;
    match (is_within, span.scope.as_str()) {
        (true, _) => "",
        (false, PLATFORM_SCOPE) => "Lambda's own time, including the handler",
        (false, _) => "exceeds its parent",
    }
}

/// The scope of the spans and metrics made from Lambda's reports.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
pub const EXTENSION_SCOPE: &str = "lambda-otlp/extension";
pub const FORWARDER_SCOPE: &str = "lambda-otlp/forwarder";
pub const INVOCATION_ID: &str = "faas.invocation_id";
/// The number of an item of the demo.
pub const NUMBER: &str = "demo.number";

fn number(attributes: &[KeyValue]) -> String {
    text_of(attributes, NUMBER).map_or_else(String::new, |number| format!("#{number}"))
}

pub fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref().map(text)
}

pub fn text(value: &AnyValue) -> String {
    text_below(value, Depth::OF_VALUES)
}

fn text_below(value: &AnyValue, depth: Depth) -> String {
    let Some(depth) = depth.below() else { return "…".to_owned() };
    let text = |value: &AnyValue| text_below(value, depth);
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::ArrayValue(array)) => {
            let values: Vec<String> = array.values.iter().map(&text).collect();
            format!("[{}]", values.join(", "))
        }
        Some(Value::KvlistValue(map)) => {
            let entry = |entry: &KeyValue| {
                format!("{}: {}", entry.key, entry.value.as_ref().map(&text).unwrap_or_default())
            };
            let entries: Vec<String> = map.values.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Some(Value::BytesValue(bytes)) => to_hex(bytes),
        _ => String::new(),
    }
}

pub fn millis(span: &Span) -> f64 {
    millis_between(span.start_time_unix_nano, span.end_time_unix_nano)
}

/// Returns the milliseconds between two times in nanoseconds; 0 if they are reversed.
#[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
pub fn millis_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

/// Returns the status message of a failed span, or its `error.type`; empty if the span did not fail.
pub fn why_failed(span: &Span) -> String {
    let Some(status) = span.status.as_ref().filter(|_| has_failed(span)) else {
        return String::new();
    };
    match status.message.trim() {
        "" => text_of(&span.attributes, "error.type").unwrap_or_default(),
        message => message.to_owned(),
    }
}

pub fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[cfg(test)]
mod tests;
