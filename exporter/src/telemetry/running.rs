//! The running invocations: more than one only in concurrently invoked functions.

use opentelemetry::Context;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The data for ending an invocation from outside.
#[derive(Clone, Debug)]
pub(crate) struct RunningInvocation {
    pub(crate) context: Context,
    /// The number of the record that tells an extension about the root.
    pub(crate) record: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct RunningInvocations(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    begun: u64,
    invocations: Vec<(u64, RunningInvocation)>,
}

impl RunningInvocations {
    /// Adds one; the number is for [`end`](Self::end).
    pub(crate) fn begin(&self, invocation: RunningInvocation) -> u64 {
        let mut running = self.lock();
        running.begun += 1;
        let number = running.begun;
        running.invocations.push((number, invocation));
        number
    }

    pub(crate) fn end(&self, number: u64) {
        self.lock().invocations.retain(|(own, _)| *own != number);
    }

    pub(crate) fn all(&self) -> Vec<(u64, RunningInvocation)> {
        self.lock().invocations.clone()
    }

    pub(crate) fn take(&self) -> Vec<RunningInvocation> {
        let invocations = std::mem::take(&mut self.lock().invocations);
        invocations.into_iter().map(|(_, invocation)| invocation).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
