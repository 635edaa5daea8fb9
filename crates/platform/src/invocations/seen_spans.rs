//! The traces of a stream's spans, and the trace and root span of each invocation.
//!
//! A span names its invocation by an attribute, which may be wrong. So nothing is guessed: if spans of two traces name an
//! invocation it gets no trace, and if two spans may be its root it gets no root.

use super::Invocations;
use super::limits::MAX_SEEN;
use crate::attributes::text;
use crate::names;
use crate::read::ids::canonical;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::SpanIds;

pub(crate) type TraceId = [u8; 16];
pub(crate) type SpanId = [u8; 8];

/// The trace of an invocation, and its root span if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenIds {
    pub(crate) trace_id: TraceId,
    pub(crate) root_span_id: Option<SpanId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenTraces {
    all: BTreeSet<TraceId>,
    /// The trace of the last span.
    last: Option<TraceId>,
}

/// The trace and the root that all spans of an invocation agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpansOfInvocation {
    /// `None` if they belong to several traces.
    trace_id: Option<TraceId>,
    root: Root,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    NotSeen,
    One { span_id: SpanId, parent_span_id: Option<SpanId> },
    Several,
}

impl Invocations {
    pub(crate) fn add_trace(&mut self, trace_id: TraceId) {
        let SeenTraces { all, last } = &mut **self.traces.get_or_insert_default();
        // Most spans belong to the previous span's trace.
        if *last != Some(trace_id) && all.len() < MAX_SEEN {
            all.insert(trace_id);
            *last = Some(trace_id);
        }
    }

    pub(crate) fn has_trace(&self, trace_id: &TraceId) -> bool {
        self.traces.as_ref().is_some_and(|traces| traces.all.contains(trace_id))
    }

    /// Adds a span that this crate made.
    pub(crate) fn add_own_span(&mut self, span: &Span) {
        let (Ok(trace_id), Ok(span_id)) =
            (span.trace_id.as_slice().try_into(), span.span_id.as_slice().try_into())
        else {
            return;
        };
        self.add_trace(trace_id);
        if let Some(request_id) = text(&span.attributes, names::FAAS_INVOCATION_ID) {
            let span = SpanIds {
                request_id: Some(request_id),
                trace_id,
                span_id,
                parent_span_id: span.parent_span_id.as_slice().try_into().ok(),
                is_entry: span.kind == SpanKind::Server as i32,
                start_unix_nano: span.start_time_unix_nano,
                error: None,
                complete_root_of: None,
            };
            self.add_span(request_id, &span);
        }
    }

    /// Adds a span that names its invocation.
    pub(crate) fn add_span(&mut self, request_id: &str, span: &SpanIds<'_>) {
        let request_id = &*canonical(request_id);
        let is_full = self.with_spans_seen >= MAX_SEEN;
        if is_full && self.get(request_id).is_none_or(|known| known.seen.is_none()) {
            return;
        }
        let invocation = self.entry(request_id);
        let is_first = invocation.seen.is_none();
        let none = SpansOfInvocation { trace_id: Some(span.trace_id), root: Root::NotSeen };
        invocation.seen.get_or_insert(none).add(span);
        self.last_named = Arc::clone(&invocation.id);
        self.with_spans_seen += usize::from(is_first);
    }

    /// Notes that an earlier delivery had the root span of an invocation.
    pub(crate) fn add_earlier_root(&mut self, request_id: &str) {
        self.entry(request_id).has_earlier_root = true;
    }

    /// Returns `true` if the function wrote a span that may be the root of this invocation.
    pub(crate) fn has_root(&self, request_id: &str) -> bool {
        self.get(request_id).is_some_and(|known| {
            known.has_earlier_root || known.seen.is_some_and(|seen| seen.root != Root::NotSeen)
        })
    }

    /// The invocations whose root span was seen in this chunk.
    pub(crate) fn with_root(&self) -> impl Iterator<Item = &str> {
        let has_root = |seen: SpansOfInvocation| seen.root != Root::NotSeen;
        let with_root = self.entries.values().filter(move |known| known.seen.is_some_and(has_root));
        with_root.map(|known| &*known.id)
    }

    /// The ids of an invocation; `None` if none of its spans was seen, or those of several traces.
    pub(crate) fn ids_of(&self, request_id: &str) -> Option<SeenIds> {
        let SpansOfInvocation { trace_id, root } = self.get(request_id)?.seen?;
        let root_span_id = match root {
            Root::One { span_id, .. } => Some(span_id),
            Root::NotSeen | Root::Several => None,
        };
        Some(SeenIds { trace_id: trace_id?, root_span_id })
    }
}

impl SpansOfInvocation {
    fn add(&mut self, span: &SpanIds<'_>) {
        if self.trace_id != Some(span.trace_id) {
            self.trace_id = None;
        }
        // A span within the function may also name the invocation, so the name alone does not make it the root.
        if !span.is_entry && span.parent_span_id.is_some() {
            return;
        }
        let this = Root::One { span_id: span.span_id, parent_span_id: span.parent_span_id };
        self.root = match self.root {
            Root::NotSeen => this,
            Root::One { span_id, .. }
                if span_id == span.span_id || span.parent_span_id == Some(span_id) =>
            {
                self.root
            }
            Root::One { parent_span_id, .. } if parent_span_id == Some(span.span_id) => this,
            Root::One { .. } | Root::Several => Root::Several,
        };
    }
}
