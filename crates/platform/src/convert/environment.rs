//! The converter within an extension: lines of its own execution environment, and Telemetry API events instead of Lambda's lines.
//! An [`Aggregator`](crate::Aggregator) and [`Invocations`](crate::Invocations) make metrics and spans of the events.

use super::Converter;
use crate::event::{EventKind, PlatformEvent};
use crate::logs::LogEventRef;

impl Converter {
    /// Creates a converter whose caller makes the metrics of Lambda's events, including exhausted memory.
    #[must_use]
    pub fn counted_elsewhere(self) -> Self {
        Self { is_counted_elsewhere: true, ..self }
    }

    /// Handles a Telemetry API event: it sets the invocation of the next lines, and becomes a log record if Lambda writes it to
    /// the function's log too: reports, dropped logs and failures. `event.message` is the JSON of the event.
    ///
    /// `brackets` means that the function has one invocation at a time, so that lines between a start and a report belong to it.
    pub fn platform_event(
        &mut self,
        event: &LogEventRef<'_>,
        mut platform: PlatformEvent,
        brackets: bool,
    ) {
        if brackets {
            self.observe(&mut platform);
        }
        let is_told = matches!(
            platform.kind,
            EventKind::Report | EventKind::RestoreReport | EventKind::LogsDropped
        );
        if is_told || platform.is_failure() {
            self.record_platform(event, &platform);
        }
    }

    /// Sets the observed time of later lines, in nanoseconds since the Unix epoch.
    pub fn observed_at(&mut self, unix_nano: u64) {
        self.observed_unix_nano = unix_nano;
    }

    /// The invocation of the next line, if the line names none.
    pub fn request_id(&self) -> Option<&str> {
        self.state.window.request_id()
    }

    /// Size in bytes of the log records and embedded metrics that wait for [`Self::finish`].
    pub fn waiting_bytes(&self) -> usize {
        self.line_records.bytes() + self.platform_records.bytes() + self.emf.bytes
    }
}
