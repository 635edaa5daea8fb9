//! The processes of an environment, the runtime and the extensions, from their start to their end. After their end, an environment
//! may start others.
//!
//! `init` starts them, `calls` takes their calls, `run` does one invocation and freezes the processes after it, and `ending` ends
//! them.

mod calls;
mod ending;
mod init;
mod run;

use super::context::EnvironmentContext;
use super::extensions::Extensions;
use crate::api::{Call, Reply};
use crate::lock;
use crate::process::Process;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use ending::Stop;
pub(super) use run::{Responded, Run};

#[derive(Debug)]
pub(crate) struct Processes {
    context: Arc<EnvironmentContext>,
    calls: mpsc::Receiver<Call>,
    /// The address of its API.
    address: String,
    extensions: Extensions,
    /// The process of the runtime, which starts when all extensions have registered.
    runtime: Option<Process>,
    /// The `next` calls that wait for an event: one, on managed instances one of each worker.
    waiting_calls: VecDeque<Reply>,
    /// `true` after the start of the runtime was tried.
    is_runtime_started: bool,
    is_initialised: bool,
    /// The time by which all processes must have ended; `None` before their end begins.
    must_end_by: Option<Instant>,
}

impl Processes {
    /// The process id of the runtime.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.runtime.as_ref().map(Process::pid)
    }

    pub(crate) fn has_extensions(&self) -> bool {
        !self.extensions.is_empty()
    }

    pub(crate) fn peak_memory_mb(&self) -> u64 {
        let runtime = self.runtime.as_ref().and_then(Process::peak_memory_mb);
        runtime.unwrap_or_default() + self.extensions.peak_memory_mb()
    }

    /// Returns `true` once if the runtime was killed because of its memory.
    pub(crate) fn take_out_of_memory(&self) -> bool {
        std::mem::take(&mut lock(&self.context.state).is_out_of_memory)
    }
}
