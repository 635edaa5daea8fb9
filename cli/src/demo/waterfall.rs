//! The traces of a run as rows, for the terminal and for the page: spans depth first, with their log records.

use super::run::{Labelled, Run};
use super::stored::{self, INVOCATION_ID, PLATFORM_SCOPE, service, text, text_of};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use simulator::sink::{StoredLogRecord, StoredSpan};
use std::collections::{BTreeMap, BTreeSet};

/// One trace.
pub(super) struct Waterfall {
    pub(super) trace_id: String,
    /// Which invocation it is of.
    pub(super) label: String,
    pub(super) rows: Vec<Row>,
    /// Log records whose span never ended.
    pub(super) loose: Vec<Log>,
}

/// One span.
pub(super) struct Row {
    pub(super) depth: usize,
    pub(super) service: String,
    pub(super) name: String,
    /// Where it begins and ends, as parts of the trace's time.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) millis: f64,
    pub(super) has_failed: bool,
    /// `#` and the number that the function gave it.
    pub(super) number: String,
    /// Why it is longer than the span above it, if it is.
    pub(super) remark: &'static str,
    pub(super) logs: Vec<Log>,
}

/// One log record.
pub(super) struct Log {
    pub(super) service: String,
    pub(super) level: String,
    pub(super) body: String,
    pub(super) number: String,
}

/// All traces, by their beginnings.
pub(super) fn waterfalls(run: &Run) -> Vec<Waterfall> {
    let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
    for span in &run.arrived.spans {
        traces.entry(&span.item.trace_id).or_default().spans.push(span);
    }
    for record in run.arrived.log_records.iter().filter(|record| !record.item.trace_id.is_empty()) {
        traces.entry(&record.item.trace_id).or_default().log_records.push(record);
    }
    let mut traces: Vec<_> = traces.into_iter().collect();
    traces.sort_by_key(|(_, trace)| {
        trace.spans.iter().map(|span| span.item.start_time_unix_nano).min()
    });
    traces.iter().map(|(trace_id, trace)| trace.waterfall(trace_id, run)).collect()
}

/// Log records of no trace.
pub(super) fn without_trace(run: &Run) -> Vec<Log> {
    let records = run.arrived.log_records.iter();
    records.filter(|record| record.item.trace_id.is_empty()).map(Log::of).collect()
}

impl Log {
    fn of(record: &StoredLogRecord) -> Self {
        Self {
            service: service(record),
            level: record.item.severity_text.clone(),
            body: record.item.body.as_ref().map(text).unwrap_or_default(),
            number: number(stored::number(&record.item.attributes)),
        }
    }
}

#[derive(Default)]
struct Trace<'a> {
    spans: Vec<&'a StoredSpan>,
    log_records: Vec<&'a StoredLogRecord>,
}

impl Trace<'_> {
    fn waterfall(&self, trace_id: &[u8], run: &Run) -> Waterfall {
        let requests: BTreeSet<String> = self
            .spans
            .iter()
            .filter_map(|span| text_of(&span.item.attributes, INVOCATION_ID))
            .collect();
        // The caller stands before the called.
        let invocation =
            run.invocations.iter().find(|known| requests.contains(&known.invocation.request_id));
        let label = invocation.map_or_else(
            || "of no known invocation".to_owned(),
            |Labelled { function, label, .. }| format!("{function}, {label}"),
        );
        let ids: BTreeSet<&[u8]> =
            self.spans.iter().map(|span| span.item.span_id.as_slice()).collect();
        let loose = self.log_records.iter();
        let loose = loose.filter(|record| !ids.contains(record.item.span_id.as_slice()));
        Waterfall {
            trace_id: wire::ids::to_hex(trace_id),
            label,
            loose: loose.map(|record| Log::of(record)).collect(),
            rows: self.rows(&ids),
        }
    }

    /// Depth first, children by start; a span whose parent is not here is a root.
    fn rows(&self, ids: &BTreeSet<&[u8]>) -> Vec<Row> {
        let items = || self.spans.iter().map(|span| &span.item);
        let start = items().map(|span| span.start_time_unix_nano).min().unwrap_or(0);
        let end = items().map(|span| span.end_time_unix_nano).max().unwrap_or(start);
        let mut rows = Vec::new();
        let mut waiting: Vec<(&StoredSpan, Option<&StoredSpan>, usize)> = self
            .spans
            .iter()
            .filter(|span| !ids.contains(span.item.parent_span_id.as_slice()))
            .map(|span| (*span, None, 0))
            .collect();
        waiting.sort_by_key(|(span, ..)| std::cmp::Reverse(span.item.start_time_unix_nano));
        while let Some((stored, parent, depth)) = waiting.pop() {
            let span = &stored.item;
            let logs = self.log_records.iter();
            let logs = logs.filter(|record| record.item.span_id == span.span_id);
            rows.push(Row {
                logs: logs.map(|record| Log::of(record)).collect(),
                remark: parent.map_or("", |parent| remark(stored, parent)),
                ..Row::of(stored, depth, start, end)
            });
            let mut children: Vec<_> = self
                .spans
                .iter()
                .filter(|child| child.item.parent_span_id == span.span_id)
                .filter(|child| child.item.span_id != span.span_id)
                .map(|child| (*child, Some(stored), depth + 1))
                .collect();
            children.sort_by_key(|(child, ..)| std::cmp::Reverse(child.item.start_time_unix_nano));
            waiting.extend(children);
        }
        rows
    }
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
    fn of(stored: &StoredSpan, depth: usize, start: u64, end: u64) -> Self {
        let span = &stored.item;
        let length = end.saturating_sub(start).max(1) as f64;
        let at = |time: u64| time.saturating_sub(start) as f64 / length;
        let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        Self {
            depth,
            service: service(stored),
            name: span.name.clone(),
            from: at(span.start_time_unix_nano),
            to: at(span.end_time_unix_nano),
            millis: nanos as f64 / 1e6,
            has_failed: span
                .status
                .as_ref()
                .is_some_and(|status| status.code == StatusCode::Error as i32),
            number: number(stored::number(&span.attributes)),
            remark: "",
            logs: Vec::new(),
        }
    }
}

/// Why a span is not within the one above it, which readers of waterfalls expect.
fn remark(span: &StoredSpan, parent: &StoredSpan) -> &'static str {
    let is_within = span.item.start_time_unix_nano >= parent.item.start_time_unix_nano
        && span.item.end_time_unix_nano <= parent.item.end_time_unix_nano;
    match (is_within, span.scope.name.as_str()) {
        (true, _) => "",
        (false, PLATFORM_SCOPE) => "Lambda's own time, around that of the handler",
        (false, _) => "goes on after the span above it",
    }
}

fn number(number: Option<String>) -> String {
    number.map_or(String::new(), |number| format!("#{number}"))
}
