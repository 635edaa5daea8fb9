//! The state of a running environment, seen from outside.

use std::sync::Mutex;
use std::time::Duration;

use crate::lock;

#[derive(Debug)]
pub(crate) struct EnvironmentView {
    id: String,
    log_stream: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pid: Option<u32>,
    extensions: Vec<ExtensionState>,
    out_of_memory: bool,
    busy: bool,
    invocations: u64,
    starts: u64,
    ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentState {
    /// The 32 hexadecimal digits at the end of the log stream's name.
    pub id: String,
    pub log_stream: String,
    /// Its process; `None` after a reset and before the next init.
    pub pid: Option<u32>,
    /// `true` during an invocation.
    pub busy: bool,
    pub invocations: u64,
    /// How often a process was started: 1, and one more for every reset.
    pub starts: u64,
    /// `true` after shutdown.
    pub ended: bool,
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
    pub(crate) fn new(id: &str, log_stream: &str) -> Self {
        Self { id: id.to_owned(), log_stream: log_stream.to_owned(), seen: Mutex::default() }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn log_stream(&self) -> &str {
        &self.log_stream
    }

    pub(crate) fn state(&self) -> EnvironmentState {
        let seen = lock(&self.seen);
        EnvironmentState {
            id: self.id.clone(),
            log_stream: self.log_stream.clone(),
            pid: seen.pid,
            busy: seen.busy,
            invocations: seen.invocations,
            starts: seen.starts,
            ended: seen.ended,
            extensions: seen.extensions.clone(),
        }
    }

    pub(crate) fn note_start(&self, pid: u32) {
        let mut seen = lock(&self.seen);
        seen.pid = Some(pid);
        seen.starts += 1;
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
        let mut seen = lock(&self.seen);
        seen.busy = false;
        seen.invocations += 1;
    }

    /// The environment is no more.
    pub(crate) fn note_shutdown(&self) {
        self.note_end();
        lock(&self.seen).ended = true;
    }

    pub(crate) fn note_end(&self) {
        let mut seen = lock(&self.seen);
        seen.pid = None;
        seen.extensions.clear();
    }
}
