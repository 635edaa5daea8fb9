//! The end of an environment's processes: the runtime first, then the extensions, each with its time.

use super::Processes;
use super::calls::ended;
use crate::clock;
use crate::environment::context::EnvironmentContext;
use crate::environment::failure::{ProcessFailure, ShutdownReason};
use crate::fidelity::TelemetryAtShutdown;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::Instant;

/// The time that Lambda grants an environment with external extensions for its end.
const SHUTDOWN_WITH_EXTERNAL: Duration = Duration::from_secs(2);
/// The runtime's share of it (runtime interface emulator, `runtimeDeadlineShare` and `defaultRuntimeShutdownTimeout`).
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(600);
/// The time of an environment whose only extensions are registered inside the runtime's process (AWS Lambda "Shutdown phase").
const RUNTIME_SHUTDOWN_WITHOUT_EXTERNAL: Duration = Duration::from_millis(500);

/// How to end an environment that runs no invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Shutdown,
    /// SIGKILL alone, without SIGTERM and SHUTDOWN.
    Kill,
}

impl Processes {
    /// Kills the runtime, writes its last lines and returns its exit status.
    pub(crate) async fn kill_runtime(&mut self) -> Option<ExitStatus> {
        self.runtime.take()?.end().await
    }

    /// Ends processes that run no invocation.
    pub(crate) async fn end(self, stop: Stop) {
        match stop {
            Stop::Shutdown => self.shut_down(ShutdownReason::Spindown).await,
            Stop::Kill => self.kill().await,
        }
    }

    async fn kill(mut self) {
        self.kill_runtime().await;
        self.extensions.end().await;
        self.context.telemetry.end_subscriptions().await;
    }

    /// Ends the runtime's process as Lambda does, writes its last lines, and returns its exit status. With an extension, the
    /// process gets SIGTERM and time to end, also after a timeout or a failure (runtime interface emulator,
    /// `shutdownRuntime`). Without one, it is killed at once.
    pub(crate) async fn end_runtime(&mut self) -> Option<ExitStatus> {
        self.begin_end();
        if !self.extensions.is_empty() {
            self.terminate_runtime().await;
        }
        self.kill_runtime().await
    }

    /// Begins the end of all processes, unless it has begun; returns the time by which they must have ended.
    fn begin_end(&mut self) -> Instant {
        if let Some(must_end_by) = self.must_end_by {
            return must_end_by;
        }
        if !self.extensions.is_empty() {
            self.thaw();
        }
        *self.must_end_by.insert(Instant::now() + SHUTDOWN_WITH_EXTERNAL)
    }

    /// Ends the processes as Lambda does (AWS Lambda "Shutdown phase"): the runtime first; then external extensions get SHUTDOWN
    /// and the rest of the time; then SIGKILL. An environment that starts again has no subscriptions.
    pub(crate) async fn shut_down(mut self, reason: ShutdownReason) {
        let must_end_by = self.begin_end();
        self.end_runtime().await;
        let EnvironmentContext { spec, telemetry, .. } = &*self.context;
        let is_flushed = spec.is_managed()
            || spec.unpublished.telemetry_at_shutdown == TelemetryAtShutdown::Flushed;
        if is_flushed && !self.extensions.is_empty() {
            telemetry.flush().await;
        }
        if self.extensions.has_external() {
            let left = must_end_by.duration_since(Instant::now());
            self.extensions.shut_down(reason.name(), clock::now().after(left).millis());
            while self.extensions.are_shutting_down() {
                match self.next_call(must_end_by).await {
                    // The processes end in any case, so a failure changes nothing.
                    Ok(call) => drop(self.take_call(call)),
                    Err(ProcessFailure::Timeout) => break,
                    Err(_) => {}
                }
            }
        }
        self.extensions.end().await;
        self.context.telemetry.end_subscriptions().await;
    }

    async fn terminate_runtime(&mut self) {
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        runtime.terminate();
        let time = if self.extensions.has_external() {
            RUNTIME_SHUTDOWN
        } else {
            RUNTIME_SHUTDOWN_WITHOUT_EXTERNAL
        };
        let until = Instant::now() + time;
        loop {
            let call = tokio::select! {
                () = ended(self.runtime.as_ref()) => return,
                () = tokio::time::sleep_until(until) => return,
                Some(call) = self.calls.recv() => call,
            };
            // The processes end in any case, so a failure changes nothing.
            drop(self.take_call(call));
        }
    }
}
