//! Traces as rows: spans depth first, with their log records.

mod attributes;
mod causes;
pub mod draw;
mod record;
mod report;
mod slowest;
mod target;
mod time_scale;
mod waits;

pub use attributes::{AttributeText, INVOCATION_ID, NUMBER, attribute_text, value_text};
pub use causes::{of_record as causes_of_record, of_span as causes_of_span};
pub(crate) use record::prefix_bytes;
pub use record::{DrawnRecord, align_times_to_print_order, message_lines};
pub use report::InvocationReport;
pub use target::target;

use attributes::item_number;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
pub(crate) use time_scale::{WAIT_FRACTION, WAITS_FRACTION};
pub(crate) use waits::WaitingSpans;

use time_scale::TimeScale;
use wire::ids::to_hex;

/// The scope of the spans and metrics made from Lambda's reports.
pub const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
/// The name of Lambda's span of an invocation, if the function has a root span of its own.
const INVOCATION_SPAN: &str = "aws.lambda.invocation";
pub const EXTENSION_SCOPE: &str = "lambda-otlp/extension";
pub const FORWARDER_SCOPE: &str = "lambda-otlp/forwarder";

#[derive(Default)]
pub struct Waterfall {
    pub trace_id: String,
    /// The ids of its invocations.
    pub invocations: BTreeSet<String>,
    /// The time of its first span, in nanoseconds since the Unix epoch; 0 if it has no span yet.
    pub began: u64,
    /// Milliseconds from its first span to the end of its last.
    pub millis: f64,
    /// The waits of an execution that are drawn short, in order.
    pub short_waits: Vec<ShortWait>,
    pub rows: Vec<SpanRow>,
    pub records_without_span: Vec<DrawnRecord>,
    /// Lambda's reports of its invocations.
    pub reports: Vec<InvocationReport>,
}

/// A wait of an execution that is drawn short.
pub struct ShortWait {
    /// The places of beginning and end, from 0 to 1.
    pub from: f64,
    pub to: f64,
    /// Its true duration.
    pub millis: f64,
}

pub struct SpanRow {
    pub depth: usize,
    pub service: String,
    pub name: String,
    /// The address, table or queue that the name does not tell; empty if there is none.
    pub target: String,
    /// The places of beginning and end, from 0 to 1.
    pub from: f64,
    pub to: f64,
    pub millis: f64,
    pub has_failed: bool,
    /// The type and the reason of its failure, if the span has them.
    pub why_failed: String,
    /// The causes of its failure, as `caused by …`, the nearest first.
    pub causes: Vec<String>,
    /// `true` for the span with the largest `own_millis`, in a trace of several spans.
    pub is_slowest: bool,
    /// The milliseconds in which none of its children ran.
    pub own_millis: f64,
    pub attributes: Vec<AttributeText>,
    /// The stack traces of its exceptions.
    pub stacks: Vec<Vec<String>>,
    /// The number of the demo's item; empty if there is none.
    pub item_number: String,
    /// The reason why it exceeds its parent, or another oddity.
    pub remark: &'static str,
    /// The linked spans: service, name and trace, or their ids.
    pub links: Vec<String>,
    pub records: Vec<DrawnRecord>,
}

/// A span, log record or metric, with its service and scope.
#[derive(Clone, Debug)]
pub struct Scoped<T> {
    pub service: String,
    pub scope: String,
    pub item: T,
}

/// The spans and log records of one trace.
#[derive(Default)]
pub struct Trace<'a> {
    pub spans: Vec<&'a Scoped<Span>>,
    pub records: Vec<&'a Scoped<LogRecord>>,
}

/// Returns all traces by their ids. Log records without a trace are left out.
pub fn traces<'a>(
    spans: &'a [Scoped<Span>],
    records: &'a [Scoped<LogRecord>],
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
pub fn waterfalls(spans: &[Scoped<Span>], records: &[Scoped<LogRecord>]) -> Vec<Waterfall> {
    let spans_by_id = SpansById::new(spans);
    let traces = traces(spans, records).into_iter();
    let mut waterfalls: Vec<_> =
        traces.map(|(trace_id, trace)| trace.waterfall(trace_id, &spans_by_id)).collect();
    waterfalls.sort_by_key(|waterfall| waterfall.began);
    waterfalls
}

/// The spans of all traces.
struct SpansById<'a> {
    spans: BTreeMap<SpanId<'a>, &'a Scoped<Span>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SpanId<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
}

impl<'a> SpansById<'a> {
    fn new(spans: &'a [Scoped<Span>]) -> Self {
        let with_id = |span: &'a Scoped<Span>| {
            let Span { trace_id, span_id, .. } = &span.item;
            (SpanId { trace_id, span_id }, span)
        };
        Self { spans: spans.iter().map(with_id).collect() }
    }

    /// Describes a linked span: its name, service and trace, or its ids if it is unknown.
    fn describe(&self, link: &Link) -> String {
        let trace = to_hex(&link.trace_id);
        let id = SpanId { trace_id: &link.trace_id, span_id: &link.span_id };
        match self.spans.get(&id) {
            Some(Scoped { service, item, .. }) => {
                format!("{} of {service}, trace {trace}", item.name)
            }
            None => format!("span {}, trace {trace}", to_hex(&link.span_id)),
        }
    }
}

impl Trace<'_> {
    fn waterfall(mut self, trace_id: &[u8], spans_by_id: &SpansById<'_>) -> Waterfall {
        self.records.sort_by_key(|record| record::time_of(&record.item));
        let reports =
            self.records.iter().filter_map(|record| InvocationReport::of(&record.item)).collect();
        self.records.retain(|record| InvocationReport::of(&record.item).is_none());
        let span_ids: BTreeSet<&[u8]> =
            self.spans.iter().map(|span| span.item.span_id.as_slice()).collect();
        let has_no_span =
            |record: &&&Scoped<LogRecord>| !span_ids.contains(record.item.span_id.as_slice());
        let without_span = self.records.iter().filter(has_no_span);
        let invocation =
            |span: &&Scoped<Span>| attribute_text(&span.item.attributes, INVOCATION_ID);
        let waiting = WaitingSpans::among(self.spans.iter().map(|span| &span.item));
        let scale = TimeScale::new(&self.spans, &waiting);
        Waterfall {
            trace_id: to_hex(trace_id),
            invocations: self.spans.iter().filter_map(invocation).collect(),
            began: scale.start,
            millis: millis_between(scale.start, scale.end),
            short_waits: scale.short_waits(),
            records_without_span: without_span.map(|record| DrawnRecord::of(record)).collect(),
            rows: self.rows(&span_ids, spans_by_id, scale, &waiting),
            reports,
        }
    }

    /// Returns the spans depth first, children by start time. A span without its parent in the trace is a root.
    ///
    /// Every span gets one row, whatever its ids are. If parents form a circle, its first span becomes a root. If an id
    /// occurs twice, the first span has the children and the log records.
    fn rows(
        &self,
        span_ids: &BTreeSet<&[u8]>,
        spans_by_id: &SpansById<'_>,
        scale: TimeScale,
        waiting: &WaitingSpans<'_>,
    ) -> Vec<SpanRow> {
        let mut spans = self.spans.clone();
        spans.sort_by_key(|span| span.item.start_time_unix_nano);
        let parents = drawn_parents(&spans);
        // The latest first, because the stack of pending spans returns the last first.
        let mut children: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (position, parent) in parents.iter().enumerate().rev() {
            children.entry(parent).or_default().push(position);
        }
        let mut records: BTreeMap<&[u8], Vec<DrawnRecord>> = BTreeMap::new();
        for record in &self.records {
            records.entry(&record.item.span_id).or_default().push(DrawnRecord::of(record));
        }
        let own_times = slowest::own_times(&spans, &children);
        let slowest = slowest::slowest(&spans, &own_times, waiting);
        let figures = TraceFigures { scale, slowest, own_times };
        let has_no_parent = |position: &usize| {
            parents.get(*position).is_some_and(|parent| !span_ids.contains(parent))
        };
        let mut roots: Vec<Pending<'_>> =
            (0..spans.len()).filter(has_no_parent).map(|root| Pending::root(root, "")).collect();
        // Spans that are in no tree of these roots follow.
        roots.extend((0..spans.len()).map(|root| Pending::root(root, "its parents form a circle")));
        let mut unplaced: Vec<Option<&Scoped<Span>>> = spans.into_iter().map(Some).collect();
        let mut rows = Vec::with_capacity(unplaced.len());
        for root in roots {
            let mut stack = vec![root];
            while let Some(pending) = stack.pop() {
                let Some(span) = unplaced.get_mut(pending.position).and_then(Option::take) else {
                    continue;
                };
                let span_id = span.item.span_id.as_slice();
                let span_records = records.remove(span_id).unwrap_or_default();
                rows.push(SpanRow::new(span, &pending, span_records, &figures, spans_by_id));
                let child = |position| Pending {
                    position,
                    parent: Some(span),
                    depth: pending.depth + 1,
                    why_root: "",
                };
                stack.extend(children.remove(span_id).unwrap_or_default().into_iter().map(child));
            }
        }
        rows
    }
}

/// A span that waits for its row.
struct Pending<'a> {
    /// Its position among the spans by start time.
    position: usize,
    /// The span above it; `None` for a root.
    parent: Option<&'a Scoped<Span>>,
    depth: usize,
    /// The reason why a root is one, if readers do not expect it.
    why_root: &'static str,
}

impl Pending<'_> {
    fn root(position: usize, why_root: &'static str) -> Self {
        Self { position, parent: None, depth: 0, why_root }
    }
}

/// The figures of a trace that its rows need.
struct TraceFigures {
    scale: TimeScale,
    /// The position of the slowest span.
    slowest: Option<usize>,
    /// The nanoseconds of each span in which none of its children ran.
    own_times: Vec<u64>,
}

impl SpanRow {
    fn new(
        scoped: &Scoped<Span>,
        pending: &Pending<'_>,
        records: Vec<DrawnRecord>,
        figures: &TraceFigures,
        spans_by_id: &SpansById<'_>,
    ) -> Self {
        let span = &scoped.item;
        let own_time = figures.own_times.get(pending.position).copied().unwrap_or(0);
        Self {
            depth: pending.depth,
            service: scoped.service.clone(),
            name: span.name.clone(),
            target: target(span),
            from: figures.scale.place(span.start_time_unix_nano),
            to: figures.scale.place(span.end_time_unix_nano),
            millis: millis(span),
            has_failed: has_failed(span),
            why_failed: why_failed(span),
            causes: causes(span, &records),
            is_slowest: figures.slowest == Some(pending.position),
            own_millis: millis_between(0, own_time),
            attributes: attributes::texts(&span.attributes),
            stacks: span.events.iter().filter_map(stack_of).collect(),
            item_number: item_number(&span.attributes),
            remark: match pending.parent {
                Some(parent) => remark(scoped, parent),
                None => pending.why_root,
            },
            links: span.links.iter().map(|link| spans_by_id.describe(link)).collect(),
            records,
        }
    }
}

/// Returns the id of each span's parent in the picture.
///
/// In the data, Lambda's span of an invocation is a child of the function's root span, which is shorter. The picture puts
/// Lambda's time around the root span.
fn drawn_parents<'a>(spans: &[&'a Scoped<Span>]) -> Vec<&'a [u8]> {
    let mut parents: Vec<&[u8]> =
        spans.iter().map(|span| span.item.parent_span_id.as_slice()).collect();
    let mut positions: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (position, span) in spans.iter().enumerate() {
        positions.entry(&span.item.span_id).or_insert(position);
    }
    for (position, span) in spans.iter().enumerate() {
        let is_invocation = span.scope == PLATFORM_SCOPE && span.item.name == INVOCATION_SPAN;
        let parent_id = span.item.parent_span_id.as_slice();
        let Some(root_position) = positions.get(parent_id).copied() else { continue };
        if !is_invocation || root_position == position {
            continue;
        }
        let Some(root) = spans.get(root_position) else { continue };
        // A root span gets one span around it.
        let is_root_moved =
            parents.get(root_position) != Some(&root.item.parent_span_id.as_slice());
        if is_root_moved || is_within(&span.item, &root.item) {
            continue;
        }
        // The invocation's span takes the root's place, and the root goes below it.
        if let Some(parent) = parents.get_mut(position) {
            *parent = root.item.parent_span_id.as_slice();
        }
        if let Some(parent) = parents.get_mut(root_position) {
            *parent = span.item.span_id.as_slice();
        }
    }
    parents
}

/// The causes of a span's failure: those of its exceptions, or else of the last log record that has some.
fn causes(span: &Span, records: &[DrawnRecord]) -> Vec<String> {
    if !has_failed(span) {
        return Vec::new();
    }
    let of_exceptions = causes_of_span(span);
    if !of_exceptions.is_empty() {
        return of_exceptions;
    }
    let mut of_records = records.iter().rev().map(|record| &record.causes);
    of_records.find(|causes| !causes.is_empty()).cloned().unwrap_or_default()
}

/// The stack trace of an exception that a span recorded as an event.
fn stack_of(event: &Event) -> Option<Vec<String>> {
    let stack = attribute_text(&event.attributes, record::STACK)?;
    let lines = message_lines(&stack);
    (!lines.is_empty()).then_some(lines)
}

/// Explains why a span exceeds its parent, which readers do not expect.
fn remark(span: &Scoped<Span>, parent: &Scoped<Span>) -> &'static str {
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

/// Returns the duration of a span in milliseconds.
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
        events.find_map(|event| attribute_text(&event.attributes, key))
    };
    let error_type = attribute_text(&span.attributes, "error.type")
        .or_else(|| of_exception("exception.type"))
        .unwrap_or_default();
    let message = match status.message.trim() {
        "" => of_exception("exception.message").unwrap_or_default(),
        message => message.to_owned(),
    };
    record::error_text(&error_type, &message)
}

pub fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[cfg(test)]
mod tests;
