//! What is known of one invocation: the events that tell of it, and their times.

use crate::event::{EventKind, PlatformEvent, Tracing};
use crate::options::SpanEnd;

/// Why an invocation without an end is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The environment ends in order (`spindown`), or nothing more is known.
    Spindown,
    /// The function ran into its timeout.
    Timeout,
    /// The runtime or an extension failed.
    Failure,
}

impl ShutdownReason {
    /// Reads `shutdownReason` of the Extensions API, in any case.
    pub fn parse(reason: &str) -> Self {
        match reason.to_ascii_lowercase().as_str() {
            "timeout" => Self::Timeout,
            "failure" => Self::Failure,
            _ => Self::Spindown,
        }
    }

    /// The error type of an invocation that ended so.
    pub(crate) fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Spindown => None,
            Self::Timeout => Some("timeout"),
            Self::Failure => Some("failure"),
        }
    }
}

/// An event with the time at which it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) event: PlatformEvent,
    /// Unix time in nanoseconds.
    pub(crate) time: u64,
}

impl Phase {
    /// Whether a phase lies before the invocation.
    pub(crate) fn is_before(&self) -> bool {
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

/// What is known of an invocation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) started: Option<u64>,
    pub(crate) runtime_done: Option<u64>,
    /// The `END` line, which stands for the runtime's end where nothing else tells of it.
    pub(crate) ended: Option<u64>,
    pub(crate) reported: Option<u64>,
    pub(crate) closed: Option<(ShutdownReason, u64)>,
    pub(crate) last_seen: u64,
    pub(crate) tracing: Tracing,
    /// Trace and span id of the function's own root span.
    pub(crate) function_root: Option<([u8; 16], [u8; 8])>,
    pub(crate) invoked_arn: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) phases: Vec<Phase>,
    /// The span is out; only its report child may follow.
    pub(crate) is_written: bool,
}

impl Invocation {
    /// How many events of one invocation become part of its span.
    pub(crate) const MAX_PHASES: usize = 32;

    pub(crate) fn phase(&self, kind: &EventKind) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.event.kind == *kind)
    }

    pub(crate) fn own_phases(&self) -> impl Iterator<Item = &Phase> {
        self.phases.iter().filter(|phase| !phase.is_before())
    }

    pub(crate) fn push(&mut self, phase: Phase) {
        if self.phases.len() < Self::MAX_PHASES {
            self.phases.push(phase);
        }
    }

    pub(crate) fn is_ready(&self, end: SpanEnd, only_reported: bool) -> bool {
        let is_done = self.runtime_done.is_some() && end == SpanEnd::RuntimeDone;
        self.reported.is_some() || (!only_reported && (is_done || self.closed.is_some()))
    }

    /// The first invocation of its environment. Lambda says it in the report; before that, an
    /// init phase that ran for this invocation says it, and one that ran ahead does not.
    pub(crate) fn is_cold_start(&self) -> bool {
        let ahead = |phase: &Phase| {
            matches!(
                phase.event.initialization_type.as_deref(),
                Some("provisioned-concurrency" | "lambda-managed-instances")
            )
        };
        let report = self.phase(&EventKind::Report);
        report.is_some_and(|report| report.event.is_cold_start())
            || self.phases.iter().any(|phase| phase.is_before() && !ahead(phase))
    }
}
