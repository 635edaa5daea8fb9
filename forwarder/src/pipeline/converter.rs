//! The first stage: converts the log events of one log stream after another, chunk by chunk.

use crate::convert::{ConvertOptions, Converted, StreamState, convert};
use crate::source::{LogBatch, LogEvent, Origin};

/// Converts the log events of an event and remembers the state of their log stream.
pub(super) struct StreamConverter<'f> {
    options: &'f ConvertOptions,
    observed_unix_nano: u64,
    state: StreamState,
}

impl<'f> StreamConverter<'f> {
    pub(super) fn new(options: &'f ConvertOptions, observed_unix_nano: u64) -> Self {
        Self { options, observed_unix_nano, state: StreamState::default() }
    }

    /// Returns `true` if log events of this origin continue the current stream.
    pub(super) fn is_of(&self, origin: &Origin) -> bool {
        self.state.is_of(origin)
    }

    /// The log events that wait for the end of their line.
    pub(super) fn held(&self) -> &[LogEvent] {
        self.state.held()
    }

    /// Takes the log events that wait for the end of their line. They are converted again, each by itself.
    pub(super) fn take_held(&mut self) -> Option<LogBatch> {
        self.state.take_held()
    }

    /// Forgets the stream. The limits on the event still count its lines.
    pub(super) fn end_stream(&mut self) {
        self.state = self.state.next_stream();
    }

    /// Converts the first log events: all of them, unless they decode to very much.
    pub(super) fn convert(
        &mut self,
        origin: &Origin,
        events: &[LogEvent],
        service_name: Option<&str>,
    ) -> Converted {
        let next = self.state.next_stream();
        let state = std::mem::replace(&mut self.state, next);
        let mut converted =
            convert(origin, events, state, self.options, service_name, self.observed_unix_nano);
        self.state = std::mem::take(&mut converted.state);
        converted
    }
}
