//! The invocations that are counted once their ends are known.

use super::NO_REQUEST_ID;
use super::error_type::failure_in;
use crate::metrics::points::Period;
use crate::outcome::OutcomeEvidence;
use crate::read::runtime_error::Failure;
use std::collections::BTreeMap;

/// The newest invocations of a stream, carried from one chunk to the next: by request id, or by [`NO_REQUEST_ID`] or
/// [`UNKNOWN_INVOCATION`](super::UNKNOWN_INVOCATION).
pub(crate) type OpenInvocations = BTreeMap<String, OpenInvocation>;

/// The invocations whose failure was counted and whose report has not come.
pub(crate) fn counted_failures(open: &OpenInvocations) -> impl Iterator<Item = (&str, Failure)> {
    let counted = open.iter().filter(|(request_id, invocation)| {
        invocation.state == InvocationState::FailedCounted && *request_id != NO_REQUEST_ID
    });
    counted.filter_map(|(request_id, invocation)| {
        Some((request_id.as_str(), failure_in(&invocation.evidence)?))
    })
}

pub(crate) fn is_reported(open: &OpenInvocations, request_id: &str) -> bool {
    open.get(request_id).is_some_and(OpenInvocation::is_reported)
}

/// The state of an invocation, and the counts made for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenInvocation {
    pub(super) state: InvocationState,
    pub(super) evidence: OutcomeEvidence,
    /// `true` if its exhausted memory was counted.
    pub(super) is_out_of_memory: bool,
    /// The time of the event that led to the state.
    pub(super) period: Period,
}

impl OpenInvocation {
    pub(super) fn new(period: Period) -> Self {
        Self {
            state: InvocationState::NoResult,
            evidence: OutcomeEvidence::default(),
            is_out_of_memory: false,
            period,
        }
    }

    pub(super) fn seen_at(time_unix_nano: u64) -> Self {
        Self::new(Period::at(time_unix_nano))
    }

    /// Notes that the evidence has a failure.
    pub(super) fn fail(&mut self) {
        if self.state == InvocationState::NoResult {
            self.state = InvocationState::Failed;
        }
    }

    pub(super) fn is_reported(&self) -> bool {
        matches!(self.state, InvocationState::Reported | InvocationState::Counted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvocationState {
    /// Neither a report nor a failure arrived. The runtime may have reported exhausted memory.
    NoResult,
    /// A failure line of Lambda or the runtime arrived, and the `REPORT` has not.
    Failed,
    /// A failure line arrived, its `REPORT` has not, and the failure was counted at the end of a chunk.
    FailedCounted,
    /// A `REPORT` arrived. Until the invocation is closed, further evidence about its end may follow.
    Reported,
    /// The invocation was counted; further lines repeat known facts.
    Counted,
}
