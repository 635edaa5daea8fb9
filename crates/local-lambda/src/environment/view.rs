//! The state of a running environment, seen from outside.

use std::sync::Mutex;
use std::time::Duration;

use crate::lock;

#[derive(Debug, Default)]
pub(crate) struct EnvironmentView {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pid: Option<u32>,
    extensions: Vec<ExtensionState>,
    out_of_memory: bool,
    busy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentState {
    /// Its process; `None` after a reset and before the next init.
    pub pid: Option<u32>,
    /// The processes of its layers; none after a reset and before the next init.
    pub extensions: Vec<ExtensionState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionState {
    pub name: String,
    pub pid: u32,
    /// How long after its process was started it asked for its first event; `None` before.
    pub ready_after: Option<Duration>,
}

impl EnvironmentView {
    pub(crate) fn state(&self) -> EnvironmentState {
        let seen = lock(&self.seen);
        EnvironmentState { pid: seen.pid, extensions: seen.extensions.clone() }
    }

    pub(crate) fn note_start(&self, pid: u32) {
        lock(&self.seen).pid = Some(pid);
    }

    pub(crate) fn note_extensions(&self, extensions: Vec<ExtensionState>) {
        lock(&self.seen).extensions = extensions;
    }

    /// Marks the runtime as out of memory and returns its process, which the caller kills.
    pub(crate) fn run_out_of_memory(&self) -> Option<u32> {
        let mut seen = lock(&self.seen);
        let pid = seen.pid.filter(|_| seen.busy)?;
        seen.out_of_memory = true;
        Some(pid)
    }

    pub(crate) fn take_out_of_memory(&self) -> bool {
        std::mem::take(&mut lock(&self.seen).out_of_memory)
    }

    pub(crate) fn begin_invocation(&self) {
        lock(&self.seen).busy = true;
    }

    pub(crate) fn end_invocation(&self) {
        lock(&self.seen).busy = false;
    }

    pub(crate) fn note_end(&self) {
        let mut seen = lock(&self.seen);
        seen.pid = None;
        seen.extensions.clear();
    }
}
