//! The origin of log events, from the envelope of their delivery.

use super::LogEvent;
use platform::Identity;

/// A log stream with its account and region. The content of log events never changes it, so it can decide about destinations.
/// Unknown parts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// AWS account of the log group: `@aws.account` of the extracted fields, or the delivery's `owner`.
    pub account: String,
    /// Region of the log group: `@aws.region` of the extracted fields, or the region of the Kinesis stream.
    pub region: String,
    /// Log group; empty for raw lines from a Kinesis stream.
    pub log_group: String,
    /// Log stream, or the name of the Kinesis stream for raw lines.
    pub log_stream: String,
}

impl Origin {
    pub fn new(account: &str, region: &str, log_group: &str, log_stream: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            log_group: log_group.to_owned(),
            log_stream: log_stream.to_owned(),
        }
    }

    /// Adds a region if there is none.
    #[must_use]
    pub fn or_region(mut self, region: Option<&str>) -> Self {
        if self.region.is_empty() {
            region.unwrap_or_default().clone_into(&mut self.region);
        }
        self
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::of(&self.source())
    }

    /// The function name derived from log group and log stream; empty if there is none.
    pub(crate) fn function_name(&self) -> &str {
        self.source().function_name().unwrap_or_default()
    }

    fn source(&self) -> platform::LogSource<'_> {
        platform::LogSource {
            account: &self.account,
            region: (!self.region.is_empty()).then_some(&self.region),
            log_group: &self.log_group,
            log_stream: &self.log_stream,
        }
    }
}

/// The log events behind some telemetry: their origin, and the ids of the first and the last one, if they have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEventRange {
    pub origin: Origin,
    pub first_event_id: String,
    pub last_event_id: String,
}

impl LogEventRange {
    pub fn of(origin: &Origin, events: &[LogEvent]) -> Self {
        let id = |event: Option<&LogEvent>| event.map(|event| event.id.clone()).unwrap_or_default();
        Self {
            origin: origin.clone(),
            first_event_id: id(events.first()),
            last_event_id: id(events.last()),
        }
    }
}
