//! Reads events: subscriptions of CloudWatch Logs, Kinesis records, and messages of the retry queue.

mod event;
mod kinesis;
mod log_event_json;
mod long_texts;
mod subscription_data;

use platform::Identity;
use serde::{Deserialize, Serialize};

pub(crate) use event::EventData;
pub use event::{Event, QueueMessage};
pub(crate) use kinesis::KinesisRecord;
pub(crate) use log_event_json::LossyText;
pub(crate) use subscription_data::{read_json, without_content};

/// Limits on one event.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimits {
    /// Size of a batch, in bytes of messages.
    pub batch_bytes: usize,
    /// Limit on the inflated size. A larger delivery is rejected.
    pub inflated_bytes: usize,
    /// Limit on a message. A longer one is cut. CloudWatch accepts 1 MB; the producers of a Kinesis stream may write more.
    pub message_bytes: usize,
    /// Limit on the log events before the name of their log group. CloudWatch writes the name first.
    pub unplaced_bytes: usize,
}

impl Default for SourceLimits {
    fn default() -> Self {
        // The OTLP of a batch of text is somewhat larger, and should still fit into one request.
        Self {
            batch_bytes: 3 * 1024 * 1024,
            inflated_bytes: 64 * 1024 * 1024,
            message_bytes: 4 * 1024 * 1024,
            unplaced_bytes: 16 * 1024 * 1024,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEvent {
    /// Unique id, 56 decimal digits; empty in control messages.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The line, usually with its newline.
    pub message: String,
}

impl LogEvent {
    /// Size for limits of memory, such as [`SourceLimits::batch_bytes`]. Log events without text need memory, too.
    pub(crate) fn bytes(&self) -> usize {
        const LEAST_BYTES: usize = size_of::<LogEvent>() + 64;
        (self.message.len() + self.id.len()).max(LEAST_BYTES)
    }
}

/// Log events of one log stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// `true` for a connection test by CloudWatch Logs. Unknown types count as log events, so that none is lost.
    pub is_control: bool,
    pub origin: Origin,
    pub events: Vec<LogEvent>,
    /// Number of log events whose message was cut to [`SourceLimits::message_bytes`].
    pub cut: usize,
}

impl LogBatch {
    /// A batch of the same stream without log events.
    pub(crate) fn without_events(&self) -> Self {
        Self { is_control: self.is_control, origin: self.origin.clone(), ..Self::default() }
    }
}

/// Batches in order. Further ones may follow an error.
pub(crate) type Batches<'d> = Box<dyn Iterator<Item = Result<LogBatch, SourceError>> + Send + 'd>;

pub(crate) fn failed(error: SourceError) -> Batches<'static> {
    Box::new(std::iter::once(Err(error)))
}

/// The reason why an event is unreadable, without telemetry.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(String);

impl SourceError {
    /// An event of another service.
    pub(crate) fn unknown(what: &str) -> Self {
        Self(format!(
            "cannot forward {what}: expected a subscription of CloudWatch Logs, Kinesis records, or messages of the retry queue"
        ))
    }

    /// The delivery is too large. None of it was delivered.
    fn too_large(what: &str, bytes: usize, most: usize) -> Self {
        Self(format!(
            "{what} inflates to {bytes} bytes, more than the limit of {most}; none of it was delivered"
        ))
    }

    pub(crate) fn panicked() -> Self {
        Self("reading the event panicked, please report this".to_owned())
    }
}

/// A log stream with its account and region. The content of log events never changes it, so it can decide about destinations.
/// Unknown parts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// AWS account of the log group: `@aws.account` of the extracted fields, or the delivery's `owner`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// Region of the log group: `@aws.region` of the extracted fields, or the region of the Kinesis stream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Log group: `@source.log` of the extracted fields, or the delivery's `logGroup`; empty for raw lines from a Kinesis stream.
    #[serde(rename = "group", skip_serializing_if = "String::is_empty")]
    pub log_group: String,
    /// Log stream, or the name of the Kinesis stream for raw lines.
    #[serde(rename = "stream", skip_serializing_if = "String::is_empty")]
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

/// The log events that some telemetry was made of: their origin, and the ids of the first and the last one, if they have any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogEventRange {
    #[serde(flatten)]
    pub origin: Origin,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub first_event_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
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
