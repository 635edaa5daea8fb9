//! The facts about invocations that `platform`'s table does not have: whether INVOKE was read, which ends are outstanding, and which
//! root spans the function sent.

use platform::{EventKind, FunctionRoot, FunctionStatement, InvocationSpans, SpanOptions};
use std::collections::VecDeque;

/// The time by which a root span may begin before the extension reads INVOKE.
const EARLY_MS: u64 = 100;

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each has come or not, in any order")]
pub(super) struct KnownInvocation {
    pub(super) request_id: String,
    pub(super) invoked_arn: String,
    /// The time of INVOKE; `None` if only telemetry reported the invocation.
    pub(super) invoked_ms: Option<u64>,
    /// `platform.start` was read.
    started: bool,
    /// `platform`'s table has the beginning.
    pub(super) is_passed_on: bool,
    pub(super) root: Option<KnownRoot>,
    /// The root spans of earlier attempts.
    pub(super) earlier_roots: Vec<[u8; 8]>,
    pub(super) runtime_done: bool,
    pub(super) reported: bool,
    /// What a span said before Lambda's events of the invocation came.
    pub(super) span_statement: Option<FunctionStatement>,
    /// The ends of the attempt before this one that were not read yet: Lambda often delivers an invocation's report after the next
    /// INVOKE.
    outstanding: OutstandingEnds,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct KnownRoot {
    pub(super) span: FunctionRoot,
    /// The span names its invocation. Otherwise the newest one was assumed.
    pub(super) is_named: bool,
}

/// An attempt to run an invocation. Lambda retries some with the same request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Newest,
    Earlier,
}

#[derive(Debug, Default)]
struct OutstandingEnds {
    runtime_done: bool,
    report: bool,
}

impl KnownInvocation {
    /// Returns `true` if this process read the beginning.
    pub(super) fn has_begun(&self) -> bool {
        self.invoked_ms.is_some() || self.started
    }

    /// Notes that INVOKE was read.
    pub(super) fn note_invoke(&mut self, invoked_arn: &str, now_ms: u64) {
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
    pub(super) fn note_event(&mut self, kind: &EventKind) -> Attempt {
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
    pub(super) fn note_span_statement(&mut self, statement: FunctionStatement) {
        let is_known = matches!(self.span_statement, Some(FunctionStatement::SpanFailed(_)));
        if !is_known {
            self.span_statement = Some(statement);
        }
    }

    /// Returns `true` if this root span brings nothing new: it is known, or less certain than the known one.
    pub(super) fn ignores_root(&self, root: &KnownRoot) -> bool {
        let is_less_certain = self.root.is_some_and(|known| known.is_named || !root.is_named);
        is_less_certain || self.earlier_roots.contains(&root.span.span_id)
    }
}

/// A bounded list in the order in which the invocations became known.
#[derive(Debug, Default)]
pub(super) struct KnownInvocations(VecDeque<KnownInvocation>);

impl KnownInvocations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, request_id: &str) -> Option<&KnownInvocation> {
        self.0.iter().rev().find(|known| known.request_id == request_id)
    }

    /// Returns the entry of an invocation, created on demand.
    pub(super) fn entry(
        &mut self,
        request_id: &str,
        options: &SpanOptions,
    ) -> &mut KnownInvocation {
        let known = self.0.iter().rposition(|known| known.request_id == request_id);
        let at = known.unwrap_or_else(|| {
            self.make_room(options);
            self.0.push_back(KnownInvocation {
                request_id: request_id.to_owned(),
                ..KnownInvocation::default()
            });
            self.0.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found or made just now")]
        &mut self.0[at]
    }

    fn make_room(&mut self, options: &SpanOptions) {
        loop {
            let reported = self.0.iter().position(|known| known.reported);
            let to_remove = InvocationSpans::position_to_remove(options, self.0.len(), reported);
            let Some(at) = to_remove else { return };
            self.0.remove(at);
        }
    }

    /// Returns the newest invocation that began before a span with this start.
    pub(super) fn newest_at(&self, start_unix_nano: u64) -> Option<&KnownInvocation> {
        let start_ms = start_unix_nano / 1_000_000 + EARLY_MS;
        let began_before =
            |known: &&KnownInvocation| known.invoked_ms.is_some_and(|invoked| invoked <= start_ms);
        self.0.iter().rev().find(began_before)
    }

    /// Returns `true` if the report of an invocation is outstanding.
    pub(super) fn await_reports(&self) -> bool {
        self.0.iter().any(|known| known.has_begun() && !known.reported)
    }

    /// Returns the request ids of the invocations without any event of Lambda's that may have run nevertheless: the newest one,
    /// and those whose root the function has sent.
    pub(super) fn without_events(&self) -> Vec<String> {
        let newest = self.0.iter().rposition(KnownInvocation::has_begun);
        let is_without = |(at, known): &(usize, &KnownInvocation)| {
            let may_have_run = newest == Some(*at) || known.root.is_some();
            !known.is_passed_on && known.has_begun() && may_have_run
        };
        let without = self.0.iter().enumerate().filter(is_without);
        without.map(|(_, known)| known.request_id.clone()).collect()
    }

    /// Returns the request ids of the invocations whose end Lambda has not reported.
    pub(super) fn without_end(&self) -> Vec<String> {
        let is_without =
            |known: &&KnownInvocation| known.is_passed_on && !known.runtime_done && !known.reported;
        self.0.iter().filter(is_without).map(|known| known.request_id.clone()).collect()
    }
}
