//! The invocations of one log stream or execution environment, in one table without I/O or clock.
//!
//! Each request id has one entry. Log records, metrics and spans ask the table, and keep in the entry what they know about the
//! invocation:
//!
//! | part of an entry | file | kept until |
//! |---|---|---|
//! | it runs | `running` | its end, or too many run |
//! | tenant and durable execution that its lines state | `facts` | the chunk's end, then while it runs or was stated last |
//! | the runtime's line that may be the last one | `running` | the invocation's next line or its end |
//! | trace and root of the spans that name it | `seen_spans` | the chunk's end, then while it runs or was named last |
//! | the evidence of its end, and what the metrics counted | `ends` | neither metrics nor a span need it |
//! | the span that is not complete | `spans` | its report |
//! | what an extension received about it | `received` | newer invocations take its place |
//!
//! An [`End`] is that of one attempt: a start with a known id begins another one, and so does a second report. So metrics and spans
//! can't differ about an end.
//!
//! `limits` has the limits and their reasons. [`Invocations::end_chunk`] leaves what the next chunk of a stream needs.

mod ends;
mod facts;
mod limits;
mod received;
mod running;
mod seen_spans;
mod spans;

pub(crate) use ends::{Count, CountState, End};
pub(crate) use facts::{Facts, is_execution_of};
pub use received::{Attempt, KnownRoot, Received};
pub(crate) use running::{LastWords, LineInvocation};
pub(crate) use seen_spans::{SeenIds, TraceId};

use crate::read::runtime_error::Failure;
use crate::spans::open_span::OpenSpan;
use facts::StatedFacts;
use foldhash::HashMap;
use running::Running;
use seen_spans::{SeenTraces, SpansOfInvocation};
use spans::OpenSpans;
use std::collections::VecDeque;
use std::sync::Arc;

/// A request id, shared by the table's lists.
type Id = Arc<str>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Invocations {
    entries: HashMap<Id, Invocation>,
    /// The running invocations, in the order of their starts.
    running: VecDeque<Running>,
    /// The number of starts so far.
    starts: u64,
    /// `true` if the stream is a managed instance's, by an event or line of it. Other invocations may have begun before the
    /// delivery, so that a line without a request id belongs to none, even if one seems to run.
    is_concurrent: bool,
    /// The number of invocations with last words.
    with_last_words: usize,
    /// The runtime's line before the first start: the next report names its invocation.
    pub(crate) unnamed_failure: Option<Box<Failure>>,
    /// The number of invocations with facts. Most functions have none.
    with_facts: usize,
    /// The invocation of the last stated facts. Lines after its end may belong to it.
    last_stated: Id,
    /// `true` if earlier records of an invocation lack a fact that a later line states.
    pub(crate) has_late_facts: bool,
    /// The traces of the chunk's spans. The forwarder moves a table often, so what most streams lack is boxed.
    traces: Option<Box<SeenTraces>>,
    /// The number of invocations with spans.
    with_spans_seen: usize,
    /// The invocation that a span named last.
    last_named: Id,
    /// A runtime's message said that memory was exhausted, before a known start.
    was_memory_exhausted: bool,
    /// The invocations with an open span or received events, in the order in which they became known.
    order: VecDeque<Id>,
    /// `None` if no spans are wanted.
    spans: Option<Box<OpenSpans>>,
}

/// The entry of an invocation.
#[derive(Clone, Debug, Default, PartialEq)]
struct Invocation {
    id: Id,
    /// The number of its start, while it runs.
    start: Option<u64>,
    last_words: Option<LastWords>,
    facts: StatedFacts,
    seen: Option<SpansOfInvocation>,
    /// Its root came in an earlier delivery, and its report came in this one.
    has_earlier_root: bool,
    end: Option<Box<End>>,
    open_span: Option<Box<OpenSpan>>,
    received: Option<Box<Received>>,
}

impl Invocation {
    fn is_empty(&self) -> bool {
        let Self { id: _, start, last_words, facts, seen, has_earlier_root, .. } = self;
        let Self { end, open_span, received, .. } = self;
        let is_seen = *has_earlier_root || seen.is_some() || *facts != StatedFacts::default();
        let is_running = start.is_some() || last_words.is_some();
        !is_seen && !is_running && end.is_none() && open_span.is_none() && received.is_none()
    }
}

impl Invocations {
    fn get(&self, request_id: &str) -> Option<&Invocation> {
        self.entries.get(request_id)
    }

    /// The entry of an invocation, created on demand.
    fn entry(&mut self, request_id: &str) -> &mut Invocation {
        let known = self.entries.get_key_value(request_id).map(|(id, _)| Arc::clone(id));
        let id = known.unwrap_or_else(|| Arc::from(request_id));
        self.entries
            .entry(id)
            .or_insert_with_key(|id| Invocation { id: Arc::clone(id), ..Invocation::default() })
    }

    /// Keeps what the next chunk of the stream needs.
    pub(crate) fn end_chunk(&mut self) {
        let Self { entries, last_stated, last_named, .. } = self;
        let mut with_facts = 0;
        let mut with_spans_seen = 0;
        entries.retain(|id, invocation| {
            let is_running = invocation.start.is_some();
            if !is_running && id != last_stated {
                invocation.facts = StatedFacts::default();
            }
            if !is_running && id != last_named {
                invocation.seen = None;
            }
            invocation.has_earlier_root = false;
            invocation.forget_unneeded_evidence();
            with_facts += usize::from(invocation.facts != StatedFacts::default());
            with_spans_seen += usize::from(invocation.seen.is_some());
            !invocation.is_empty()
        });
        self.with_facts = with_facts;
        self.with_spans_seen = with_spans_seen;
        self.has_late_facts = false;
        self.traces = None;
    }
}
