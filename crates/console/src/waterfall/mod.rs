//! Traces as rows: spans depth first, with their log records.

mod causes;
pub mod draw;
mod log;
mod report;
mod slowest;
mod target;

pub use causes::{of_record as causes_of_record, of_span as causes_of_span};
pub use log::{Log, message_lines, settle_times};
pub use report::Report;
pub use target::target;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
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
    /// Lambda's reports of its invocations.
    pub reports: Vec<Report>,
}

pub struct Row {
    pub depth: usize,
    pub service: String,
    pub name: String,
    /// The address, table or queue that the name does not tell; empty if there is none.
    pub target: String,
    /// Beginning and end, as fractions of the trace's duration.
    pub from: f64,
    pub to: f64,
    pub millis: f64,
    pub has_failed: bool,
    /// The type and the reason of its failure, if the span has them.
    pub why_failed: String,
    /// The causes of its failure, as `caused by …`, the nearest first.
    pub causes: Vec<String>,
    /// The most time of its own, without its children, in a trace of several spans.
    pub is_slowest: bool,
    /// The milliseconds in which none of its children ran.
    pub own_millis: f64,
    pub attributes: Vec<AttributeText>,
    /// The stack traces of its exceptions.
    pub stacks: Vec<Vec<String>>,
    pub number: String,
    /// The reason why it exceeds its parent, or another oddity.
    pub remark: &'static str,
    /// The linked spans: service, name and trace, or their ids.
    pub links: Vec<String>,
    pub logs: Vec<Log>,
}

/// An attribute as text.
#[derive(Debug, PartialEq, Eq)]
pub struct AttributeText {
    pub key: String,
    pub value: String,
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

/// The spans of all traces, by trace id and span id.
type AllSpans<'a> = BTreeMap<(&'a [u8], &'a [u8]), &'a Item<Span>>;

fn ids_of(span: &Span) -> (&[u8], &[u8]) {
    (&span.trace_id, &span.span_id)
}

impl Trace<'_> {
    fn waterfall(mut self, trace_id: &[u8], all: &AllSpans<'_>) -> Waterfall {
        self.records.sort_by_key(|record| log::time_of(&record.item));
        let reports = self.records.iter().filter_map(|record| Report::of(&record.item)).collect();
        self.records.retain(|record| Report::of(&record.item).is_none());
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
            reports,
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
        let parents = drawn_parents(&spans);
        // The latest first, because the stack below returns the last first.
        let mut children: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (place, parent) in parents.iter().enumerate().rev() {
            children.entry(parent).or_default().push(place);
        }
        let own_times = slowest::own_times(&spans, &children);
        let slowest = slowest::slowest(&spans, &own_times);
        let mut logs: BTreeMap<&[u8], Vec<Log>> = BTreeMap::new();
        for record in &self.records {
            logs.entry(&record.item.span_id).or_default().push(Log::of(record));
        }
        let is_root = |parent: &[u8]| !ids.contains(parent);
        let places = parents.iter().enumerate();
        let roots = places.filter(|(_, parent)| is_root(parent)).map(|(place, _)| (place, ""));
        let others = (0..spans.len()).map(|place| (place, "its parents form a circle"));
        let roots: Vec<_> = roots.chain(others).collect();
        let mut left: Vec<Option<&Item<Span>>> = spans.into_iter().map(Some).collect();
        let mut rows = Vec::with_capacity(left.len());
        for (root, why_root) in roots {
            let mut waiting: Vec<(usize, Option<&Item<Span>>, usize)> = vec![(root, None, 0)];
            while let Some((place, parent, depth)) = waiting.pop() {
                let Some(found) = left.get_mut(place).and_then(Option::take) else { continue };
                let span = &found.item;
                let logs = logs.remove(span.span_id.as_slice()).unwrap_or_default();
                rows.push(Row {
                    depth,
                    service: found.service.clone(),
                    name: span.name.clone(),
                    target: target(span),
                    from: share(span.start_time_unix_nano, start, end),
                    to: share(span.end_time_unix_nano, start, end),
                    millis: millis(span),
                    has_failed: has_failed(span),
                    why_failed: why_failed(span),
                    causes: causes(span, &logs),
                    is_slowest: slowest == Some(place),
                    own_millis: millis_between(0, own_times.get(place).copied().unwrap_or(0)),
                    attributes: fields(&span.attributes),
                    stacks: span.events.iter().filter_map(stack_of).collect(),
                    number: number(&span.attributes),
                    remark: parent.map_or(why_root, |parent| remark(found, parent)),
                    links: span.links.iter().map(|link| linked(link, all)).collect(),
                    logs,
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

/// Returns the id of each span's parent in the picture.
///
/// In the data, Lambda's span of an invocation is a child of the function's root span, which is shorter. The picture puts
/// Lambda's time around the root span.
fn drawn_parents<'a>(spans: &[&'a Item<Span>]) -> Vec<&'a [u8]> {
    let mut parents: Vec<&[u8]> =
        spans.iter().map(|span| span.item.parent_span_id.as_slice()).collect();
    let mut places: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (place, span) in spans.iter().enumerate() {
        places.entry(&span.item.span_id).or_insert(place);
    }
    for (place, span) in spans.iter().enumerate() {
        let is_lambdas = span.scope == PLATFORM_SCOPE && span.item.name == INVOCATION_SPAN;
        let root = places.get(span.item.parent_span_id.as_slice()).copied();
        let Some(root) = root.filter(|root| is_lambdas && *root != place) else { continue };
        let Some(of_root) = spans.get(root) else { continue };
        // A root span gets one span around it.
        let is_root_moved = parents.get(root) != Some(&of_root.item.parent_span_id.as_slice());
        if is_root_moved || is_within(&span.item, &of_root.item) {
            continue;
        }
        if let Some(parent) = parents.get_mut(root) {
            let above = std::mem::replace(parent, span.item.span_id.as_slice());
            parents.splice(place..=place, [above]);
        }
    }
    parents
}

fn fields(attributes: &[KeyValue]) -> Vec<AttributeText> {
    let field = |KeyValue { key, value, .. }: &KeyValue| AttributeText {
        key: key.clone(),
        value: value.as_ref().map(text).unwrap_or_default(),
    };
    attributes.iter().map(field).collect()
}

/// The causes of a span's failure, which its exceptions tell, or else the last of its log records that tells some.
fn causes(span: &Span, logs: &[Log]) -> Vec<String> {
    if !has_failed(span) {
        return Vec::new();
    }
    match causes_of_span(span) {
        causes if causes.is_empty() => {
            let told = logs.iter().rev().map(|log| &log.causes).find(|causes| !causes.is_empty());
            told.cloned().unwrap_or_default()
        }
        causes => causes,
    }
}

/// The stack trace of an exception that a span recorded as an event.
fn stack_of(event: &Event) -> Option<Vec<String>> {
    let stack = text_of(&event.attributes, log::STACK)?;
    let lines = log::message_lines(&stack);
    (!lines.is_empty()).then_some(lines)
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
    match (is_within(&span.item, &parent.item), span.scope.as_str()) {
        (true, _) => "",
        (false, PLATFORM_SCOPE) => "Lambda's own time, including the handler",
        (false, _) => "exceeds its parent",
    }
}

fn is_within(span: &Span, parent: &Span) -> bool {
    span.start_time_unix_nano >= parent.start_time_unix_nano
        && span.end_time_unix_nano <= parent.end_time_unix_nano
}

/// The scope of the spans and metrics made from Lambda's reports.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
/// The name of Lambda's span of an invocation, if the function has a root span of its own.
const INVOCATION_SPAN: &str = "aws.lambda.invocation";
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

/// Returns the number of an attribute.
#[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
fn number_of(attributes: &[KeyValue], key: &str) -> Option<f64> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value {
        Some(Value::DoubleValue(number)) => Some(number),
        Some(Value::IntValue(number)) => Some(number as f64),
        _ => None,
    }
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

/// Returns the type and the message of a failed span's error; empty if the span did not fail.
///
/// The type is its `error.type`, or that of its last exception.
pub fn why_failed(span: &Span) -> String {
    let Some(status) = span.status.as_ref().filter(|_| has_failed(span)) else {
        return String::new();
    };
    let of_exception = |key: &str| {
        let mut events = span.events.iter().rev();
        events.find_map(|event| text_of(&event.attributes, key))
    };
    let kind = text_of(&span.attributes, "error.type");
    let kind = kind.or_else(|| of_exception("exception.type")).unwrap_or_default();
    let message = match status.message.trim() {
        "" => of_exception("exception.message").unwrap_or_default(),
        message => message.to_owned(),
    };
    log::named(&kind, &message)
}

pub fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[cfg(test)]
mod tests;
