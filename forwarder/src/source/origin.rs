//! Where log events come from, as the envelope of their delivery says it.

use super::LogEvent;
use platform::Identity;

/// A log stream, and the account and region that it is in. Nothing of it comes from inside a log event, so that it may decide
/// where telemetry is sent. What nobody said is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// AWS account of the log group: `@aws.account` of the extracted fields, else the delivery's `owner`.
    pub account: String,
    /// Region of the log group: `@aws.region` of the extracted fields, or that of the Kinesis stream.
    pub region: String,
    /// Log group; empty for lines that were put into a Kinesis stream.
    pub log_group: String,
    /// Log stream; for lines that were put into a Kinesis stream the name of that stream.
    pub log_stream: String,
}

impl Origin {
    /// The origin of this account, region, log group and log stream.
    pub fn new(account: &str, region: &str, log_group: &str, log_stream: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            log_group: log_group.to_owned(),
            log_stream: log_stream.to_owned(),
        }
    }

    /// The same, in this region where none was said: a subscription delivers within its region.
    #[must_use]
    pub fn or_region(mut self, region: Option<&str>) -> Self {
        if self.region.is_empty() {
            region.unwrap_or_default().clone_into(&mut self.region);
        }
        self
    }

    /// Whose log stream it is.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(&self.source())
    }

    /// The function that log group and log stream name; empty if they name none.
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

/// The log events that telemetry was made of: their origin, and the ids of the first and the last, which are empty where
/// they have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEventRange {
    /// Where they come from.
    pub origin: Origin,
    /// Id of the first.
    pub first_event_id: String,
    /// Id of the last.
    pub last_event_id: String,
}

impl LogEventRange {
    /// The range from the first to the last of these.
    pub fn of(origin: &Origin, events: &[LogEvent]) -> Self {
        let id = |event: Option<&LogEvent>| event.map(|event| event.id.clone()).unwrap_or_default();
        Self {
            origin: origin.clone(),
            first_event_id: id(events.first()),
            last_event_id: id(events.last()),
        }
    }
}
