//! The span of an invocation before it is written: its events and their times.

use crate::event::{EventKind, PlatformEvent, Tracing};
use crate::options::SpanEnd;
use crate::outcome::{Outcome, OutcomeEvidence, decide};
use std::sync::Arc;

/// The reason for the end of an environment, and thereby of unfinished invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The environment ends normally (`spindown`), or for an unknown reason.
    Spindown,
    Timeout,
    /// The runtime or an extension failed.
    Failure,
}

impl ShutdownReason {
    /// Reads `shutdownReason` of the Extensions API, in upper or lower case.
    pub fn parse(reason: &str) -> Self {
        match reason.to_ascii_lowercase().as_str() {
            "timeout" => Self::Timeout,
            "failure" => Self::Failure,
            _ => Self::Spindown,
        }
    }

    pub(crate) fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Spindown => None,
            Self::Timeout => Some("timeout"),
            Self::Failure => Some("failure"),
        }
    }
}

/// The end of an environment in which an invocation had not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) reason: ShutdownReason,
    /// Unix time in nanoseconds.
    pub(crate) time: u64,
}

/// The root span that the function makes of its invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRoot {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    /// `true` if it has begun, and the function had not written it at the last check.
    pub is_open: bool,
    /// If not, the invocation has no span.
    pub is_sampled: bool,
}

/// X-Ray's segment of an invocation. Only Lambda has it; the function's subsegments name it as their parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XRaySegment {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
}

/// An event of an invocation, or of an init phase or restore before it, with its time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimedEvent {
    pub(crate) event: PlatformEvent,
    /// When the event was written, in nanoseconds since 1970.
    pub(crate) time: u64,
}

impl TimedEvent {
    /// Returns `true` for an init phase or a restore, which precede the invocation.
    pub(crate) fn is_early(&self) -> bool {
        self.is_init() || self.is_restore()
    }

    pub(crate) fn is_init(&self) -> bool {
        let kind = &self.event.kind;
        matches!(kind, EventKind::InitStart | EventKind::InitRuntimeDone | EventKind::InitReport)
    }

    pub(crate) fn is_restore(&self) -> bool {
        matches!(
            self.event.kind,
            EventKind::RestoreStart | EventKind::RestoreRuntimeDone | EventKind::RestoreReport
        )
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OpenSpan {
    pub(crate) request_id: Arc<str>,
    /// `true` if Lambda reported the invocation. Otherwise only a span of the function names it, which may name any id.
    pub(crate) has_begun: bool,
    pub(crate) started: Option<u64>,
    pub(crate) runtime_done: Option<u64>,
    /// The `END` line, a substitute for a missing event about the runtime's end.
    pub(crate) ended: Option<u64>,
    pub(crate) reported: Option<u64>,
    pub(crate) closed: Option<Closing>,
    pub(crate) last_seen: u64,
    pub(crate) tracing: Tracing,
    pub(crate) function_root: Option<FunctionRoot>,
    pub(crate) xray_segment: Option<XRaySegment>,
    pub(crate) invoked_arn: Option<String>,
    pub(crate) events: Vec<TimedEvent>,
    /// The size of the events in memory.
    pub(crate) bytes: usize,
    /// `true` once the span was returned; only its report's child span may follow.
    pub(crate) is_written: bool,
}

impl OpenSpan {
    /// Maximum number of events of one invocation in its span.
    pub(crate) const MAX_EVENTS: usize = 32;

    pub(crate) fn event(&self, kind: &EventKind) -> Option<&TimedEvent> {
        self.events.iter().find(|timed| timed.event.kind == *kind)
    }

    pub(crate) fn own_events(&self) -> impl Iterator<Item = &TimedEvent> {
        self.events.iter().filter(|timed| !timed.is_early())
    }

    pub(crate) fn push(&mut self, timed: TimedEvent) {
        if self.events.len() < Self::MAX_EVENTS {
            self.bytes += timed.event.bytes();
            self.events.push(timed);
        }
    }

    /// Adds the events before the invocation.
    pub(crate) fn push_early(&mut self, events: impl IntoIterator<Item = TimedEvent>) {
        self.events.splice(0..0, events);
        self.bytes = self.events.iter().map(|timed| timed.event.bytes()).sum();
    }

    /// Notes that the span was returned. The events are of no more use.
    pub(crate) fn set_written(&mut self) {
        self.is_written = true;
        self.events = Vec::new();
        self.bytes = 0;
    }

    /// Returns `true` if the function was cut off before writing its root span. After a mere failure it may write the span later,
    /// for example after the response.
    pub(crate) fn is_root_missing(&self) -> bool {
        let was_closed = self.runtime_done.is_none()
            && self.closed.is_some_and(|closing| closing.reason.error_type().is_some());
        self.function_root.is_some_and(|root| root.is_open)
            && (was_closed || self.own_events().any(|timed| timed.event.is_cut_off()))
    }

    pub(crate) fn is_ready(&self, end: SpanEnd, only_reported: bool) -> bool {
        let is_done = self.runtime_done.is_some() && end == SpanEnd::RuntimeDone;
        self.reported.is_some() || (!only_reported && (is_done || self.closed.is_some()))
    }

    /// Returns `true` for the first invocation of its environment. The report states it; before the report, an init phase for
    /// this invocation shows it. An init phase ahead of time, as for provisioned concurrency, does not count.
    pub(crate) fn is_cold_start(&self) -> bool {
        let is_ahead_of_time = |timed: &TimedEvent| {
            matches!(
                timed.event.initialization_type.as_deref(),
                Some("provisioned-concurrency" | "lambda-managed-instances")
            )
        };
        let report = self.event(&EventKind::Report);
        report.is_some_and(|report| report.event.is_cold_start())
            || self.events.iter().any(|timed| timed.is_early() && !is_ahead_of_time(timed))
    }
}

impl OpenSpan {
    /// What the evidence says. A failed init phase counts only if that says nothing: Lambda repeats the phase, and the invocation may
    /// succeed.
    pub(crate) fn outcome(&self, evidence: &OutcomeEvidence) -> Outcome {
        let own = decide(evidence);
        if own != Outcome::Unknown {
            return own;
        }
        let early_events = || self.events.iter().filter(|timed| timed.is_early());
        let closed = self.closed.and_then(|closing| closing.reason.error_type());
        let early: Vec<&TimedEvent> = match closed {
            // The last init phase may be the reason.
            Some(_) => {
                early_events().rfind(|timed| timed.event.status.is_some()).into_iter().collect()
            }
            None => early_events().collect(),
        };
        match Outcome::of_events(early.into_iter().map(|timed| &timed.event)) {
            failed @ Outcome::Failed { .. } => failed,
            Outcome::Succeeded | Outcome::Unknown => {
                let mut evidence = evidence.clone();
                evidence.note_closed(closed);
                decide(&evidence)
            }
        }
    }
}
