//! What is known of the invocations whose lines have not all been counted.

use std::collections::BTreeMap;

/// What is known of the newest invocations of a stream, from one chunk of it to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenInvocations(pub(crate) BTreeMap<String, OpenInvocation>);

/// What is known of an invocation of this batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenInvocation {
    pub(crate) state: State,
    pub(crate) out_of_memory: bool,
    /// Of the event that led to the state.
    pub(crate) time: u64,
    pub(crate) since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A failure line came, its `REPORT` not yet.
    Failed(Failure),
    /// The same, and the failure was counted when the chunk ended.
    FailedCounted,
    /// A `REPORT` without status came: a success unless a failure line follows.
    Reported,
    /// Counted; what else is said about it is a repetition.
    Counted,
}

/// How an invocation ended if not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Timeout,
    Error(&'static str),
}
