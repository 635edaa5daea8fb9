//! Freezes the processes between invocations, and thaws them.

use super::Runtime;

impl Runtime {
    /// Stops all processes until the next event, and writes all their output to the log first. Processes of a managed
    /// instance go on.
    pub(crate) async fn freeze(&mut self) {
        if self.surroundings.spec.is_managed() {
            return self.drain();
        }
        self.surroundings.telemetry.freeze();
        if let Some(process) = &mut self.process {
            process.begin_freeze();
        }
        self.extensions.begin_freeze();
        if let Some(process) = &mut self.process {
            process.freeze().await;
        }
        self.extensions.freeze().await;
    }

    pub(super) fn thaw(&mut self) {
        if let Some(process) = &mut self.process {
            process.thaw();
        }
        self.extensions.thaw();
        self.surroundings.telemetry.thaw();
    }

    /// Writes the runtime's output so far.
    pub(crate) fn drain(&self) {
        if let Some(process) = &self.process {
            process.drain();
        }
    }
}
