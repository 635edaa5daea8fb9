//! Tracks open spans, so that an interrupted invocation leaves them too.

use super::integer_fields;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, Status};
use opentelemetry_sdk::trace::{Span, SpanData};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use wire::resource::PARTIAL;

/// Maximum number of open spans; beyond it the first ones are kept.
const MOST: usize = 1024;

/// The open spans as they started: the SDK passes them to a processor at their start and end.
#[derive(Debug, Default)]
pub(crate) struct OpenSpans(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    spans: Vec<SpanData>,
    /// The spans written as partial spans.
    written: Vec<SpanId>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CutOff {
    /// `error.type` of the invocations' spans.
    pub(crate) error_type: &'static str,
    pub(crate) message: &'static str,
}

impl CutOff {
    pub(crate) const TIMEOUT: Self =
        Self { error_type: "timeout", message: "the invocation was about to time out" };
    pub(crate) const END: Self =
        Self { error_type: "shutdown", message: "the environment ended during the invocation" };
    pub(crate) const PANIC: Self =
        Self { error_type: "panic", message: "the process ended in a panic" };
}

#[derive(Debug, Default)]
pub(crate) struct Roots {
    pub(crate) cut_off: Vec<SpanContext>,
    pub(crate) going_on: Vec<SpanContext>,
}

impl OpenSpans {
    pub(super) fn begin(&self, span: &Span) {
        let mut open = self.lock();
        if open.spans.len() < MOST {
            open.spans.extend(span.exported_data().map(|mut span| {
                integer_fields::settle(&mut span);
                span
            }));
        }
    }

    pub(super) fn end(&self, id: SpanId) {
        let mut open = self.lock();
        // Usually the last one started.
        if let Some(at) = open.spans.iter().rposition(|span| span.span_context.span_id() == id) {
            open.spans.swap_remove(at);
        }
        open.written.retain(|own| *own != id);
    }

    /// Notes that these partial spans were written: a second one from another interruption would contradict them.
    pub(super) fn are_written(&self, ids: &[SpanId]) {
        self.lock().written.extend(ids);
    }

    /// The open spans of interrupted invocations at `now`, as errors and marked as partial.
    pub(super) fn of(&self, roots: &Roots, cut_off: CutOff, now: SystemTime) -> Vec<SpanData> {
        let (mut spans, written) = {
            let open = self.lock();
            (open.spans.clone(), open.written.clone())
        };
        if !roots.going_on.is_empty() {
            spans = spans.iter().filter(|span| is_of(span, &spans, roots)).cloned().collect();
        }
        spans.retain(|span| !written.contains(&span.span_context.span_id()));
        for span in &mut spans {
            // An end never precedes its start.
            span.end_time = now.max(span.start_time);
            span.status = Status::error(cut_off.message);
            if is_one_of(&roots.cut_off, span.span_context.span_id()) {
                span.attributes.push(KeyValue::new("error.type", cut_off.error_type));
            }
            span.attributes.push(KeyValue::new(PARTIAL, true));
        }
        spans
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_one_of(roots: &[SpanContext], id: SpanId) -> bool {
    roots.iter().any(|root| root.span_id() == id)
}

/// Returns `true` if a span belongs to an interrupted invocation: by its open parents, or if those end before a root, by its
/// trace, unless another invocation has the same trace.
fn is_of(span: &SpanData, open: &[SpanData], roots: &Roots) -> bool {
    let mut at = Some(span);
    for _ in 0..open.len() {
        let Some(own) = at else { break };
        let id = own.span_context.span_id();
        if is_one_of(&roots.cut_off, id) {
            return true;
        }
        if is_one_of(&roots.going_on, id) {
            return false;
        }
        at = open.iter().find(|other| other.span_context.span_id() == own.parent_span_id);
    }
    let is_in = |roots: &[SpanContext]| {
        roots.iter().any(|root| root.trace_id() == span.span_context.trace_id())
    };
    is_in(&roots.cut_off) && !is_in(&roots.going_on)
}
