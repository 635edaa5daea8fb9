//! SnapStart: the processes as a snapshot has them go on in a new environment (AWS Lambda "SnapStart").

use std::time::Duration;

use tokio::time::Instant;

use super::{Happened, InitFailure, Runtime};
use crate::api::call::{Call, answer};
use crate::clock;
use crate::platform_events::Status;

/// The longest that a restore may take.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(10);

impl Runtime {
    /// Thaws the processes that were frozen after init, and waits until the runtime has run its hooks and asks for
    /// its first event.
    pub(crate) async fn restore(&mut self) -> Result<Duration, InitFailure> {
        let begin = Instant::now();
        let surroundings = std::sync::Arc::clone(&self.surroundings);
        surroundings.events.restore_start(clock::now());
        self.thaw();
        if let Some(reply) = self.awaiting_restore.take() {
            answer(reply, Ok(()));
        }
        let restored = self.restored(begin + RESTORE_TIMEOUT).await;
        let status = restored.as_ref().map_or_else(InitFailure::status, |()| Status::Success);
        self.drain();
        surroundings.events.restore_report(&status, begin.elapsed(), clock::now());
        restored.map(|()| begin.elapsed())
    }

    async fn restored(&mut self, until: Instant) -> Result<(), InitFailure> {
        while self.waiting.is_none() {
            match self.next_call(until).await {
                Happened::Call(Call::RestoreError { failure, reply }) => {
                    answer(reply, Ok(()));
                    return Err(InitFailure::Reported(failure));
                }
                Happened::Call(call) => {
                    if let Some(failure) = self.take_call(call) {
                        return Err(InitFailure::Extension(failure));
                    }
                }
                Happened::RuntimeExited => return Err(InitFailure::Exited),
                Happened::ExtensionEnded(failure) => return Err(InitFailure::Extension(failure)),
                Happened::Timeout => return Err(InitFailure::Timeout),
            }
        }
        Ok(())
    }
}
