//! Tracks the traces of a log stream's spans, and the trace and root span of each invocation.
//!
//! A span names its invocation by an attribute, which may be wrong. So nothing is guessed: if spans of two traces name an
//! invocation it gets no trace, and if two spans may be its root it gets no root.

use std::collections::BTreeSet;

use foldhash::HashMap;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use wire::SpanIds;

use crate::attributes::text;
use crate::names;
use crate::read::ids::request_id_of;

pub(crate) type TraceId = [u8; 16];
pub(crate) type SpanId = [u8; 8];

/// The trace of an invocation, and its root span if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenIds {
    pub(crate) trace_id: TraceId,
    pub(crate) root_span_id: Option<SpanId>,
}

/// Maximum number of remembered traces, and of invocations, of one chunk, so that invented ids cannot exhaust the memory.
const MAX_SEEN: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct SeenSpans {
    traces: BTreeSet<TraceId>,
    /// The trace of the last span.
    last_trace: Option<TraceId>,
    /// The spans of invocations by request id.
    invocations: HashMap<String, SpansOfInvocation>,
    /// The invocation that a span named last.
    last_invocation: Option<String>,
    /// The invocations whose root came in an earlier delivery, and whose report came in this one.
    earlier_roots: BTreeSet<String>,
}

/// An invocation that may have lines in the next chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TracedInvocation {
    request_id: String,
    spans: SpansOfInvocation,
}

/// The trace and the root that all spans of an invocation agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SpansOfInvocation {
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

impl SeenSpans {
    pub(crate) fn add_trace(&mut self, trace_id: TraceId) {
        // Most spans belong to the previous span's trace.
        if self.last_trace != Some(trace_id) && self.traces.len() < MAX_SEEN {
            self.traces.insert(trace_id);
            self.last_trace = Some(trace_id);
        }
    }

    /// Adds a span that this crate made.
    pub(crate) fn add_own(&mut self, span: &Span) {
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
            self.add_invocation_span(request_id, &span);
        }
    }

    /// Adds a span that names its invocation.
    pub(crate) fn add_invocation_span(&mut self, request_id: &str, span: &SpanIds<'_>) {
        let request_id = request_id_of(request_id);
        if self.invocations.len() >= MAX_SEEN && !self.invocations.contains_key(&request_id) {
            return;
        }
        self.last_invocation.get_or_insert_default().clone_from(&request_id);
        let none = SpansOfInvocation { trace_id: Some(span.trace_id), root: Root::NotSeen };
        self.invocations.entry(request_id).or_insert(none).add(span);
    }

    /// The invocation named last and the running ones, because the next chunk may contain more of their lines.
    pub(crate) fn take_needed<'r>(
        &mut self,
        running: impl Iterator<Item = &'r String>,
    ) -> Vec<TracedInvocation> {
        let last = self.last_invocation.take();
        let mut take = |request_id: &String| {
            let (request_id, spans) = self.invocations.remove_entry(request_id)?;
            Some(TracedInvocation { request_id, spans })
        };
        let mut needed: Vec<_> = running.filter_map(&mut take).collect();
        needed.extend(last.as_ref().and_then(take));
        needed
    }

    /// Takes over the invocations of the last chunk, in the order in which spans named them.
    pub(crate) fn resume(&mut self, needed: Vec<TracedInvocation>) {
        self.last_invocation = needed.last().map(|last| last.request_id.clone());
        for TracedInvocation { request_id, spans } in needed {
            self.invocations.insert(request_id, spans);
        }
    }

    /// Notes that an earlier delivery had the root span of an invocation.
    pub(crate) fn add_earlier_root(&mut self, request_id: &str) {
        self.earlier_roots.insert(request_id.to_owned());
    }

    /// Returns `true` if the function wrote a span that may be the root of this invocation.
    pub(crate) fn has_root(&self, request_id: &str) -> bool {
        self.earlier_roots.contains(request_id)
            || self.invocations.get(request_id).is_some_and(|spans| spans.root != Root::NotSeen)
    }

    /// The invocations whose root span was seen.
    pub(crate) fn with_root(&self) -> impl Iterator<Item = &str> {
        let with_root = self.invocations.iter().filter(|(_, spans)| spans.root != Root::NotSeen);
        with_root.map(|(request_id, _)| request_id.as_str())
    }

    pub(crate) fn has_trace(&self, trace_id: &TraceId) -> bool {
        self.traces.contains(trace_id)
    }

    /// The ids of an invocation; `None` if none of its spans was seen, or those of several traces.
    pub(crate) fn of_invocation(&self, request_id: &str) -> Option<SeenIds> {
        let spans = self.invocations.get(request_id)?;
        let root_span_id = match spans.root {
            Root::One { span_id, .. } => Some(span_id),
            Root::NotSeen | Root::Several => None,
        };
        Some(SeenIds { trace_id: spans.trace_id?, root_span_id })
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
