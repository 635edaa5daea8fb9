//! Remembers traces, which are drawn again with telemetry that arrives later. Traces that the filter left out are remembered too,
//! because later telemetry may make it select them.

use super::ReceivedTelemetry;
use console::waterfall::{PLATFORM_SCOPE, has_failed};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::ids::to_hex;

/// Maximum number of remembered items. The oldest traces are forgotten first.
const MAX_ITEMS: usize = 20_000;

#[derive(Default)]
pub(super) struct RememberedTraces {
    traces: VecDeque<RememberedTrace>,
    items: usize,
}

struct RememberedTrace {
    trace_id: Vec<u8>,
    telemetry: ReceivedTelemetry,
    /// `false` if the filter has left the trace out so far.
    is_drawn: bool,
}

/// The traces that are drawn again.
#[derive(Default)]
pub(super) struct RedrawnTraces {
    /// The number of new spans, by trace id in hex.
    new_spans: BTreeMap<String, usize>,
}

impl RedrawnTraces {
    /// Returns the number of new spans of a trace; `None` if it is drawn for the first time.
    pub(super) fn new_spans_of(&self, trace_id: &str) -> Option<usize> {
        self.new_spans.get(trace_id).copied()
    }
}

impl RememberedTraces {
    /// Adds the remembered items of these traces, so that they are drawn again whole. The extension writes Lambda's span of an
    /// invocation with the next one: alone, it is no reason to draw its trace again, and is taken out.
    pub(super) fn add_to(&mut self, telemetry: &mut ReceivedTelemetry) -> RedrawnTraces {
        let mut redrawn = RedrawnTraces::default();
        let trace_ids: BTreeSet<Vec<u8>> =
            telemetry.spans.iter().map(|span| span.item.trace_id.clone()).collect();
        for trace_id in trace_ids {
            let Some(mut known) = self.take(&trace_id) else { continue };
            let mut new: ReceivedTelemetry = telemetry.take_trace(&trace_id);
            let is_lambdas_alone = new.spans.iter().all(|span| span.scope == PLATFORM_SCOPE);
            let is_first_failure = has_failed_span(&new) && !has_failed_span(&known.telemetry);
            let new_spans = new.spans.len();
            known.telemetry.spans.append(&mut new.spans);
            telemetry.records.append(&mut new.records);
            if is_lambdas_alone && !is_first_failure {
                self.put(known);
            } else {
                if known.is_drawn {
                    redrawn.new_spans.insert(to_hex(&trace_id), new_spans);
                }
                telemetry.spans.append(&mut known.telemetry.spans);
                telemetry.records.append(&mut known.telemetry.records);
            }
        }
        redrawn
    }

    fn take(&mut self, trace_id: &[u8]) -> Option<RememberedTrace> {
        let index = self.traces.iter().position(|known| known.trace_id == trace_id)?;
        let known = self.traces.remove(index)?;
        self.items -= known.telemetry.items();
        Some(known)
    }

    fn put(&mut self, known: RememberedTrace) {
        self.items += known.telemetry.items();
        self.traces.push_back(known);
        while self.items > MAX_ITEMS {
            let Some(oldest) = self.traces.pop_front() else { return };
            self.items -= oldest.telemetry.items();
        }
    }

    /// Remembers the traces with spans in this telemetry, before the filter.
    pub(super) fn remember(&mut self, telemetry: &ReceivedTelemetry) {
        let mut traces: BTreeMap<&[u8], ReceivedTelemetry> = BTreeMap::new();
        for span in &telemetry.spans {
            traces.entry(&span.item.trace_id).or_default().spans.push(span.clone());
        }
        for record in &telemetry.records {
            if let Some(trace) = traces.get_mut(record.item.trace_id.as_slice()) {
                trace.records.push(record.clone());
            }
        }
        for (trace_id, telemetry) in traces {
            let trace_id = trace_id.to_vec();
            self.put(RememberedTrace { trace_id, telemetry, is_drawn: false });
        }
    }

    /// Notes that the remembered traces with spans in this telemetry are drawn.
    pub(super) fn note_drawn(&mut self, selected: &ReceivedTelemetry) {
        let drawn: BTreeSet<&[u8]> =
            selected.spans.iter().map(|span| span.item.trace_id.as_slice()).collect();
        for trace in &mut self.traces {
            trace.is_drawn |= drawn.contains(trace.trace_id.as_slice());
        }
    }
}

fn has_failed_span(telemetry: &ReceivedTelemetry) -> bool {
    telemetry.spans.iter().any(|span| has_failed(&span.item))
}
