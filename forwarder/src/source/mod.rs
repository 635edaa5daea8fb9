//! Reads what invokes the forwarder: subscriptions of CloudWatch Logs, Kinesis records, messages of
//! the retry queue.

mod event;
mod kinesis;
mod origin;
mod queue;
mod queue_body;
mod subscription_data;

pub use event::Event;
pub(crate) use event::Subscription;
pub(crate) use kinesis::KinesisRecord;
pub use origin::{LogEventRange, Origin};
pub use queue::QueueMessage;
pub use queue_body::QueueBody;

/// Bounds on one event.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimits {
    /// A batch is handed on once its messages have this many bytes.
    pub chunk_bytes: usize,
    /// A delivery that inflates to more fails as a whole.
    pub inflated_bytes: usize,
}

impl Default for SourceLimits {
    fn default() -> Self {
        // As OTLP a batch of text is somewhat larger, and should still be one request.
        Self { chunk_bytes: 3 * 1024 * 1024, inflated_bytes: 64 * 1024 * 1024 }
    }
}

/// What CloudWatch Logs sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageType {
    /// Log events; also any type that is not known, so that no log event is lost by its label.
    #[default]
    Data,
    /// A test of whether the destination can be reached.
    Control,
}

/// One log event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEvent {
    /// Unique id, 56 decimal digits; empty in control messages.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The line, usually with its newline.
    pub message: String,
}

/// Some of the log events of one log stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// Log events, or a test of CloudWatch Logs.
    pub message_type: MessageType,
    /// Where they come from.
    pub origin: Origin,
    /// In the order of the delivery.
    pub events: Vec<LogEvent>,
}

impl LogBatch {
    /// The same stream, without its log events.
    pub(crate) fn without_events(&self) -> Self {
        Self { message_type: self.message_type, origin: self.origin.clone(), events: Vec::new() }
    }
}

/// Takes batches; answers false once nobody needs more.
pub(crate) type HandOn<'a> = &'a mut dyn FnMut(LogBatch) -> bool;

impl SourceError {
    /// Whether log events may have been handed on before it: to read the event again delivers those again.
    pub(crate) fn may_come_late(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::TooLarge { .. })
    }
}

/// Why an event holds no log events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// An event of some other service.
    #[error(
        "{0}: the forwarder takes subscriptions of CloudWatch Logs, Kinesis records and messages of its retry queue"
    )]
    Unknown(String),
    /// Data that is not base64.
    #[error("{what} is not base64")]
    Base64 {
        /// Where the data is.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: base64::DecodeError,
    },
    /// The data does not inflate, or not to the JSON that CloudWatch Logs writes.
    #[error("{what} does not hold what CloudWatch Logs sends: {problem}")]
    Json {
        /// Where the data is.
        what: &'static str,
        /// What is wrong with it, without a customer's text.
        problem: String,
    },
    /// The data inflates to more than is read. Nothing of it was delivered.
    #[error(
        "{what} inflates to {bytes} bytes, at most {most} are read: nothing of it was delivered"
    )]
    TooLarge {
        /// Where the data is.
        what: &'static str,
        /// What it says it inflates to.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// A Kinesis record that is neither a delivery of CloudWatch Logs nor text.
    #[error("the Kinesis record is neither gzip nor UTF-8 text")]
    NotText,
    /// Reading panicked: a mistake of ours.
    #[error("reading the event panicked, please report this")]
    Panicked,
}
