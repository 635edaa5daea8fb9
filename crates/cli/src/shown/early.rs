//! Remembers log records that were shown before the spans of their traces.

use super::ReceivedTelemetry;
use console::waterfall::{INVOCATION_ID, PLATFORM_SCOPE, Scoped, attribute_text};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most remembered records. The oldest are forgotten first.
const MAX_RECORDS: usize = 10_000;
/// The most bytes of their texts, as an estimate.
const MAX_BYTES: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(super) struct EarlyRecords {
    records: VecDeque<Scoped<LogRecord>>,
    bytes: usize,
}

/// The trace and the span of an invocation.
struct InvocationSpan {
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
    is_lambdas: bool,
}

impl EarlyRecords {
    /// Remembers the records that may belong to a trace: they name one, or an invocation.
    pub(super) fn add(&mut self, records: &[Scoped<LogRecord>]) {
        let may_belong = |record: &&Scoped<LogRecord>| {
            !record.item.trace_id.is_empty() || invocation(&record.item.attributes).is_some()
        };
        for record in records.iter().filter(may_belong) {
            self.bytes += bytes_of(record);
            self.records.push_back(record.clone());
        }
        while self.records.len() > MAX_RECORDS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.records.pop_front() else { return };
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// Moves the remembered records to their traces among these, and gives records that only name their invocation its trace.
    pub(super) fn add_to(&mut self, telemetry: &mut ReceivedTelemetry) {
        let spans_by_invocation = invocation_spans(&telemetry.spans);
        let traces: BTreeSet<&[u8]> =
            telemetry.spans.iter().map(|span| span.item.trace_id.as_slice()).collect();
        let is_here = |record: &Scoped<LogRecord>| match record.item.trace_id.as_slice() {
            [] => invocation(&record.item.attributes)
                .is_some_and(|id| spans_by_invocation.contains_key(&id)),
            trace_id => traces.contains(trace_id),
        };
        let mut kept = VecDeque::new();
        let mut moved = Vec::new();
        for record in std::mem::take(&mut self.records) {
            if is_here(&record) {
                self.bytes -= bytes_of(&record);
                moved.push(record);
            } else {
                kept.push_back(record);
            }
        }
        self.records = kept;
        // They came first: of equal times, the order of arrival decides.
        moved.append(&mut telemetry.records);
        telemetry.records = moved;
        for record in telemetry.records.iter_mut().filter(|record| record.item.trace_id.is_empty())
        {
            let span =
                invocation(&record.item.attributes).and_then(|id| spans_by_invocation.get(&id));
            if let Some(InvocationSpan { trace_id, span_id, .. }) = span {
                record.item.trace_id.clone_from(trace_id);
                record.item.span_id.clone_from(span_id);
            }
        }
    }
}

/// Returns the span of each invocation: the function's own span before that of Lambda.
fn invocation_spans(spans: &[Scoped<Span>]) -> BTreeMap<String, InvocationSpan> {
    let mut spans_by_invocation: BTreeMap<String, InvocationSpan> = BTreeMap::new();
    for span in spans {
        let Some(id) = invocation(&span.item.attributes) else { continue };
        let is_lambdas = span.scope == PLATFORM_SCOPE;
        let is_better = spans_by_invocation
            .get(&id)
            .is_none_or(|known: &InvocationSpan| known.is_lambdas && !is_lambdas);
        if is_better {
            let Span { trace_id, span_id, .. } = &span.item;
            let found =
                InvocationSpan { trace_id: trace_id.clone(), span_id: span_id.clone(), is_lambdas };
            spans_by_invocation.insert(id, found);
        }
    }
    spans_by_invocation
}

fn invocation(attributes: &[KeyValue]) -> Option<String> {
    attribute_text(attributes, INVOCATION_ID)
}

/// Estimates the size of a record by its texts.
fn bytes_of(record: &Scoped<LogRecord>) -> usize {
    let bytes = |value: &Option<AnyValue>| match value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(text)) => text.len(),
        _ => size_of::<AnyValue>(),
    };
    let attributes = record.item.attributes.iter().map(|attribute| bytes(&attribute.value));
    size_of::<Scoped<LogRecord>>() + bytes(&record.item.body) + attributes.sum::<usize>()
}
