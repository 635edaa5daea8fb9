//! What is known of invocations of which more lines may come, in this chunk of a stream or in the next.

use foldhash::HashMap;

/// The newest invocations of a stream by request id (empty for one whose id is not known yet), as they go from one chunk of it to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenInvocations(pub(crate) HashMap<String, OpenInvocation>);

/// What is known of an invocation, and what of it was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenInvocation {
    pub(crate) state: State,
    pub(crate) out_of_memory: bool,
    /// Unix time in nanoseconds of the event that led to the state.
    pub(crate) time: u64,
    pub(crate) since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The runtime said that its memory is exhausted, and nothing says yet how the invocation ends.
    Running,
    /// A failure line came, its `REPORT` not yet.
    Failed(Failure),
    /// A failure line came, its `REPORT` not yet, and the failure was counted when a chunk ended.
    FailedCounted,
    /// A `REPORT` without status came: a success unless a failure line follows.
    Reported,
    /// The invocation was counted; further lines about it repeat what is known.
    Counted,
}

/// How an invocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Timeout,
    Error(&'static str),
}
