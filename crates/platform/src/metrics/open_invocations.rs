//! State of invocations with possible further lines, in this chunk of a stream or the next.

use foldhash::HashMap;

/// The newest invocations of a stream by request id (empty if unknown), carried from one chunk to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenInvocations(pub(crate) HashMap<String, OpenInvocation>);

/// The state of an invocation, and the counts made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenInvocation {
    pub(crate) state: InvocationState,
    pub(crate) out_of_memory: bool,
    /// Unix time in nanoseconds of the event that led to the state.
    pub(crate) time: u64,
    pub(crate) since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvocationState {
    /// The runtime reported exhausted memory, and the result is unknown.
    Running,
    /// A failure line arrived, and its `REPORT` has not.
    Failed(Failure),
    /// A failure line arrived, its `REPORT` has not, and the failure was counted at the end of a chunk.
    FailedCounted,
    /// A `REPORT` without status arrived: a success unless a failure line follows.
    Reported,
    /// The invocation was counted; further lines repeat known facts.
    Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Timeout,
    Error(&'static str),
}
