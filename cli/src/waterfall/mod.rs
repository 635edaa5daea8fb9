//! The traces of spans and log records as rows: spans depth first, with their log records.

pub(crate) mod attributes;
pub(crate) mod draw;

use attributes::{INVOCATION_ID, PLATFORM_SCOPE, text, text_of};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use std::collections::{BTreeMap, BTreeSet};

/// One trace.
pub(crate) struct Waterfall {
    pub(crate) trace_id: String,
    /// Which invocation it is of.
    pub(crate) label: String,
    pub(crate) rows: Vec<Row>,
    /// Log records whose span never ended.
    pub(crate) loose: Vec<Log>,
}

/// One span.
pub(crate) struct Row {
    pub(crate) depth: usize,
    pub(crate) service: String,
    pub(crate) name: String,
    /// Where it begins and ends, as parts of the trace's time.
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) millis: f64,
    pub(crate) has_failed: bool,
    /// What else tells it from others, such as the number that the demo's functions give.
    pub(crate) number: String,
    /// Why it is longer than the span above it, if it is.
    pub(crate) remark: &'static str,
    pub(crate) logs: Vec<Log>,
}

/// One log record.
pub(crate) struct Log {
    pub(crate) service: String,
    pub(crate) level: String,
    pub(crate) body: String,
    pub(crate) number: String,
}

/// A span, and what it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct SpanOf<'a> {
    pub(crate) service: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) span: &'a Span,
}

/// A log record, and what it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct RecordOf<'a> {
    pub(crate) service: &'a str,
    pub(crate) record: &'a LogRecord,
}

/// How a trace is called, by the request ids in it, and what tells an item from others, by its attributes.
pub(crate) trait Naming {
    fn label(&self, request_ids: &BTreeSet<String>) -> String;
    fn number(&self, attributes: &[KeyValue]) -> String;
}

/// All traces, by their beginnings.
pub(crate) fn waterfalls(
    spans: &[SpanOf<'_>],
    records: &[RecordOf<'_>],
    naming: &dyn Naming,
) -> Vec<Waterfall> {
    let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
    for span in spans {
        traces.entry(&span.span.trace_id).or_insert_with(|| Trace::of(naming)).spans.push(*span);
    }
    for record in records.iter().filter(|record| !record.record.trace_id.is_empty()) {
        let trace = traces.entry(&record.record.trace_id).or_insert_with(|| Trace::of(naming));
        trace.log_records.push(*record);
    }
    let mut traces: Vec<_> = traces.into_iter().collect();
    traces.sort_by_key(|(_, trace)| {
        trace.spans.iter().map(|span| span.span.start_time_unix_nano).min()
    });
    traces.iter().map(|(trace_id, trace)| trace.waterfall(trace_id)).collect()
}

impl Log {
    pub(crate) fn of(record: RecordOf<'_>, naming: &dyn Naming) -> Self {
        Self {
            service: record.service.to_owned(),
            level: record.record.severity_text.clone(),
            body: record.record.body.as_ref().map(text).unwrap_or_default(),
            number: naming.number(&record.record.attributes),
        }
    }
}

struct Trace<'a> {
    spans: Vec<SpanOf<'a>>,
    log_records: Vec<RecordOf<'a>>,
    naming: &'a dyn Naming,
}

impl<'a> Trace<'a> {
    fn of(naming: &'a dyn Naming) -> Self {
        Self { spans: Vec::new(), log_records: Vec::new(), naming }
    }

    fn waterfall(&self, trace_id: &[u8]) -> Waterfall {
        let requests: BTreeSet<String> = self
            .spans
            .iter()
            .filter_map(|span| text_of(&span.span.attributes, INVOCATION_ID))
            .collect();
        let ids: BTreeSet<&[u8]> =
            self.spans.iter().map(|span| span.span.span_id.as_slice()).collect();
        let loose = self.log_records.iter();
        let loose = loose.filter(|record| !ids.contains(record.record.span_id.as_slice()));
        Waterfall {
            trace_id: wire::ids::to_hex(trace_id),
            label: self.naming.label(&requests),
            loose: loose.map(|record| Log::of(*record, self.naming)).collect(),
            rows: self.rows(&ids),
        }
    }

    /// Depth first, children by start; a span whose parent is not here is a root.
    fn rows(&self, ids: &BTreeSet<&[u8]>) -> Vec<Row> {
        let items = || self.spans.iter().map(|span| span.span);
        let start = items().map(|span| span.start_time_unix_nano).min().unwrap_or(0);
        let end = items().map(|span| span.end_time_unix_nano).max().unwrap_or(start);
        let mut rows = Vec::new();
        let mut waiting: Vec<(SpanOf<'_>, Option<SpanOf<'_>>, usize)> = self
            .spans
            .iter()
            .filter(|span| !ids.contains(span.span.parent_span_id.as_slice()))
            .map(|span| (*span, None, 0))
            .collect();
        waiting.sort_by_key(|(span, ..)| std::cmp::Reverse(span.span.start_time_unix_nano));
        while let Some((found, parent, depth)) = waiting.pop() {
            let span = found.span;
            let logs = self.log_records.iter();
            let logs = logs.filter(|record| record.record.span_id == span.span_id);
            rows.push(Row {
                logs: logs.map(|record| Log::of(*record, self.naming)).collect(),
                remark: parent.map_or("", |parent| remark(found, parent)),
                number: self.naming.number(&span.attributes),
                ..Row::of(found, depth, start, end)
            });
            let mut children: Vec<_> = self
                .spans
                .iter()
                .filter(|child| child.span.parent_span_id == span.span_id)
                .filter(|child| child.span.span_id != span.span_id)
                .map(|child| (*child, Some(found), depth + 1))
                .collect();
            children.sort_by_key(|(child, ..)| std::cmp::Reverse(child.span.start_time_unix_nano));
            waiting.extend(children);
        }
        rows
    }
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
    fn of(found: SpanOf<'_>, depth: usize, start: u64, end: u64) -> Self {
        let span = found.span;
        let length = end.saturating_sub(start).max(1) as f64;
        let at = |time: u64| time.saturating_sub(start) as f64 / length;
        let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        Self {
            depth,
            service: found.service.to_owned(),
            name: span.name.clone(),
            from: at(span.start_time_unix_nano),
            to: at(span.end_time_unix_nano),
            millis: nanos as f64 / 1e6,
            has_failed: span
                .status
                .as_ref()
                .is_some_and(|status| status.code == StatusCode::Error as i32),
            number: String::new(),
            remark: "",
            logs: Vec::new(),
        }
    }
}

/// Why a span is not within the one above it, which readers of waterfalls expect.
fn remark(span: SpanOf<'_>, parent: SpanOf<'_>) -> &'static str {
    let is_within = span.span.start_time_unix_nano >= parent.span.start_time_unix_nano
        && span.span.end_time_unix_nano <= parent.span.end_time_unix_nano;
    match (is_within, span.scope) {
        (true, _) => "",
        (false, PLATFORM_SCOPE) => "Lambda's own time, around that of the handler",
        (false, _) => "goes on after the span above it",
    }
}
