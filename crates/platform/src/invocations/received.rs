//! What the extension received about invocations: whether INVOKE was read, which ends are outstanding, and which root spans the
//! function sent. It is complete without spans, and remembers written ones, so that a late or repeated event makes no second span.

use super::{Id, Invocation, Invocations};
use crate::event::EventKind;
use crate::outcome::FunctionStatement;
use crate::spans::open_span::FunctionRoot;
use std::sync::Arc;

/// The time by which a root span may begin before the extension reads INVOKE.
const EARLY_MS: u64 = 100;

/// What an extension received about an invocation: INVOKE, events, and the root spans that the function sent.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each has come or not, in any order")]
pub struct Received {
    pub invoked_arn: String,
    /// The time of INVOKE; `None` if only telemetry reported the invocation.
    pub invoked_ms: Option<u64>,
    /// `platform.start` was read.
    started: bool,
    /// The invocation's span has its beginning.
    pub is_passed_on: bool,
    pub root: Option<KnownRoot>,
    /// The root spans of earlier attempts.
    pub earlier_roots: Vec<[u8; 8]>,
    pub runtime_done: bool,
    pub reported: bool,
    /// What a span said before Lambda's events of the invocation came.
    pub span_statement: Option<FunctionStatement>,
    /// The ends of the attempt before this one that were not read yet: Lambda often delivers an invocation's report after the next
    /// INVOKE.
    outstanding: OutstandingEnds,
}

/// A root span that the function sent, or that its library's record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRoot {
    pub span: FunctionRoot,
    /// The span names its invocation. Otherwise the newest one was assumed.
    pub is_named: bool,
}

/// An attempt to run an invocation. Lambda retries some with the same request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Newest,
    Earlier,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct OutstandingEnds {
    runtime_done: bool,
    report: bool,
}

impl Received {
    /// Returns `true` if this process read the beginning.
    pub fn has_begun(&self) -> bool {
        self.invoked_ms.is_some() || self.started
    }

    /// Notes that INVOKE was read.
    pub fn note_invoke(&mut self, invoked_arn: &str, now_ms: u64) {
        if self.invoked_ms.is_some() {
            self.begin_attempt();
        }
        self.invoked_ms = Some(now_ms);
        invoked_arn.clone_into(&mut self.invoked_arn);
    }

    /// Notes that Lambda retries the invocation, with the same request id.
    fn begin_attempt(&mut self) {
        let root = self.root.take();
        self.earlier_roots.extend(root.map(|root| root.span.span_id));
        self.outstanding =
            OutstandingEnds { runtime_done: !self.runtime_done, report: !self.reported };
        self.invoked_ms = None;
        self.started = false;
        self.runtime_done = false;
        self.reported = false;
    }

    /// Notes an event, and returns the attempt that it belongs to.
    pub fn note_event(&mut self, kind: &EventKind) -> Attempt {
        match kind {
            EventKind::Start => {
                if self.started {
                    self.begin_attempt();
                }
                self.started = true;
                // Events come in order.
                self.outstanding = OutstandingEnds::default();
                Attempt::Newest
            }
            EventKind::RuntimeDone if self.outstanding.runtime_done => {
                self.outstanding.runtime_done = false;
                Attempt::Earlier
            }
            EventKind::Report if self.outstanding.report => {
                self.outstanding.report = false;
                Attempt::Earlier
            }
            _ => {
                self.runtime_done |= *kind == EventKind::RuntimeDone;
                self.reported |= *kind == EventKind::Report;
                Attempt::Newest
            }
        }
    }

    /// Notes what a span says. A failure counts more than the success of another span.
    pub fn note_span_statement(&mut self, statement: FunctionStatement) {
        let is_known = matches!(self.span_statement, Some(FunctionStatement::SpanFailed(_)));
        if !is_known {
            self.span_statement = Some(statement);
        }
    }

    /// Returns `true` if this root span brings nothing new: it is known, or less certain than the known one.
    pub fn ignores_root(&self, root: &KnownRoot) -> bool {
        let is_less_certain = self.root.is_some_and(|known| known.is_named || !root.is_named);
        is_less_certain || self.earlier_roots.contains(&root.span.span_id)
    }
}

impl Invocations {
    /// Returns `true` if nothing was received, and no span is open.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The number of invocations about which something was received, or whose span is open.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn received(&self, request_id: &str) -> Option<&Received> {
        self.get(request_id)?.received.as_deref()
    }

    pub fn received_mut(&mut self, request_id: &str) -> Option<&mut Received> {
        self.entries.get_mut(request_id)?.received.as_deref_mut()
    }

    /// What was received about this invocation, created on demand.
    pub fn receive(&mut self, request_id: &str) -> &mut Received {
        self.make_room_for(request_id);
        self.entry(request_id).received.get_or_insert_default()
    }

    /// The invocations about which something was received, in the order in which they became known.
    fn all_received(&self) -> impl DoubleEndedIterator<Item = (&Id, &Received)> {
        self.order.iter().filter_map(|id| Some((id, self.received(id)?)))
    }

    /// Returns the newest invocation that began before a span with this start.
    pub fn newest_at(&self, start_unix_nano: u64) -> Option<&str> {
        let start_ms = start_unix_nano / 1_000_000 + EARLY_MS;
        let began_before = |(_, received): &(&Id, &Received)| {
            received.invoked_ms.is_some_and(|invoked| invoked <= start_ms)
        };
        self.all_received().rev().find(began_before).map(|(id, _)| &**id)
    }

    /// Returns `true` if the report of an invocation is outstanding.
    pub fn await_reports(&self) -> bool {
        self.all_received().any(|(_, received)| received.has_begun() && !received.reported)
    }

    /// Returns the request ids of the invocations without any event of Lambda's that may have run nevertheless: the newest one,
    /// and those whose root the function has sent.
    pub fn without_events(&self) -> Vec<Arc<str>> {
        let newest = self.all_received().rev().find(|(_, received)| received.has_begun());
        let newest = newest.map(|(id, _)| id);
        let is_without = |(id, received): &(&Id, &Received)| {
            let may_have_run = newest == Some(*id) || received.root.is_some();
            !received.is_passed_on && received.has_begun() && may_have_run
        };
        self.all_received().filter(is_without).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Returns the request ids of the invocations whose end Lambda has not reported.
    pub fn without_end(&self) -> Vec<Arc<str>> {
        let is_without = |(_, received): &(&Id, &Received)| {
            received.is_passed_on && !received.runtime_done && !received.reported
        };
        self.all_received().filter(is_without).map(|(id, _)| Arc::clone(id)).collect()
    }
}

impl Invocation {
    /// Returns `true` if nothing more is expected.
    pub(super) fn is_completed(&self) -> bool {
        self.open_span.as_ref().is_none_or(|span| span.is_written)
            && self.received.as_ref().is_none_or(|received| received.reported)
    }
}
