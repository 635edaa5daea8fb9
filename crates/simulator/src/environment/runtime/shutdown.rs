//! The end of an environment's processes: the runtime first, then the extensions, each with its time.

use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use super::{Happened, Runtime};
use crate::clock;

/// The time that Lambda grants an environment with external extensions for its end.
const SHUTDOWN_WITH_EXTERNAL: Duration = Duration::from_secs(2);
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(300);
/// The runtime's share if an extension is registered inside its process.
const RUNTIME_SHUTDOWN_WITH_INTERNAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    Spindown,
    Timeout,
    Failure,
}

impl ShutdownReason {
    fn name(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

impl Runtime {
    /// Kills the runtime, writes its last lines and gives the status with which it ended.
    pub(crate) async fn kill_process(&mut self) -> Option<ExitStatus> {
        self.process.take()?.end().await
    }

    pub(crate) async fn kill(mut self) {
        self.kill_process().await;
        self.extensions.end().await;
        self.surroundings.telemetry.settle().await;
    }

    /// Ends the processes as Lambda does (AWS Lambda "Shutdown phase"): the runtime gets SIGTERM and a time, if any
    /// extension is there; then external extensions get SHUTDOWN and the rest of theirs; then SIGKILL. After a failure the
    /// runtime is killed at once.
    pub(crate) async fn shut_down(mut self, reason: ShutdownReason) {
        let end = Instant::now() + SHUTDOWN_WITH_EXTERNAL;
        if !self.extensions.is_empty() {
            self.thaw();
            self.surroundings.telemetry.flush();
            if reason == ShutdownReason::Spindown {
                self.terminate_process().await;
            }
        }
        self.kill_process().await;
        if self.extensions.has_external() {
            let left = end.duration_since(Instant::now());
            self.extensions.shut_down(reason.name(), clock::now().after(left).millis());
            while self.extensions.are_shutting_down() {
                match self.next_call(end).await {
                    // A failure to end is of no more consequence.
                    Happened::Call(call) => drop(self.take_call(call)),
                    Happened::ExtensionEnded(_) | Happened::RuntimeExited => {}
                    Happened::Timeout => break,
                }
            }
        }
        self.extensions.end().await;
        self.surroundings.telemetry.settle().await;
    }

    async fn terminate_process(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.terminate();
        let time = if self.extensions.has_internal() {
            RUNTIME_SHUTDOWN_WITH_INTERNAL
        } else {
            RUNTIME_SHUTDOWN
        };
        // The result does not matter: the process is ended either way.
        drop(tokio::time::timeout(time, process.ended()).await);
    }
}
