//! What an extension gives a converter: the lines of its own execution environment, and in the place of Lambda's lines the events
//! of the Telemetry API, of which an [`Aggregator`](crate::Aggregator) and [`Invocations`](crate::Invocations) make metrics and spans.

use super::Converter;
use crate::event::{EventKind, PlatformEvent};
use crate::logs::LogEvent;

impl Converter {
    /// A converter whose caller makes the metrics of Lambda's events, exhausted memory included.
    #[must_use]
    pub fn counted_elsewhere(self) -> Self {
        Self { is_counted_elsewhere: true, ..self }
    }

    /// Takes an event of the Telemetry API: which invocation the next lines belong to, and a log record of what Lambda writes into
    /// the function's log too: reports, dropped logs, and all that failed. `event.message` is the JSON of the event.
    ///
    /// `brackets` says that the function has one invocation at a time, so that what stands between a start and a report belongs to it.
    pub fn platform_event(
        &mut self,
        event: &LogEvent<'_>,
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

    /// What is observed from here on was observed at this Unix time in nanoseconds.
    pub fn observed_at(&mut self, unix_nano: u64) {
        self.observed_unix_nano = unix_nano;
    }

    /// The invocation that the next line belongs to, if it does not name one itself.
    pub fn request_id(&self) -> Option<&str> {
        self.state.window.request_id()
    }

    /// How many bytes the log records and embedded metrics have that wait for [`Self::finish`].
    pub fn waiting_bytes(&self) -> usize {
        self.line_records.bytes() + self.platform_records.bytes() + self.emf.bytes
    }
}
