//! What is parked, with all that is needed to deliver it later.

use crate::destination::ingest_window::time_range;
use crate::source::{LogBatch, LogEventRange};
use std::fmt;
use wire::Request;

/// What is parked.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// An OTLP request.
    Request(Request),
    /// A line that claims to be OTLP and does not decode, its `headers` removed.
    Line {
        /// Id of its log event.
        event_id: String,
        /// Time of its log event, in milliseconds since the Unix epoch.
        timestamp_ms: i64,
        /// The line.
        line: String,
    },
    /// Log events that were not converted.
    Events(LogBatch),
    /// Bytes that nobody could read: a Kinesis record, the body of a message.
    Raw(Vec<u8>),
}

impl Content {
    /// `request`, `line`, `events` or `raw`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Line { .. } => "line",
            Self::Events(_) => "events",
            Self::Raw(_) => "raw",
        }
    }
}

impl fmt::Debug for Content {
    /// Sizes only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Line { line, .. } => write!(f, "Line({} bytes)", line.len()),
            Self::Events(batch) => {
                let bytes: usize = batch.events.iter().map(|event| event.message.len()).sum();
                write!(f, "Events({}, {bytes} bytes)", batch.events.len())
            }
            Self::Raw(bytes) => write!(f, "Raw({} bytes)", bytes.len()),
        }
    }
}

/// Something that is kept in a queue, with all that is needed to deliver it later.
///
/// Holds no credential: the destination is a name, and only the reader knows what it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Parked {
    /// Name of the destination.
    pub destination: String,
    /// OpenObserve's stream for logs and traces, where one was chosen.
    pub stream: Option<String>,
    /// What is kept.
    pub content: Content,
    /// Items that this stands for: those of the content, or where `partial` those that were rejected.
    pub items: usize,
    /// Time of the oldest record, in nanoseconds since the Unix epoch; 0 where it is not known.
    pub oldest_unix_nano: u64,
    /// Time of the newest record; 0 where it is not known.
    pub newest_unix_nano: u64,
    /// When the forwarder first had it.
    pub first_seen_unix_nano: u64,
    /// Why it was not delivered, in words for a person. Masked, and cut to 1,000 characters when it is encoded.
    pub reason: String,
    /// The backend took the content and rejected `items` of it without saying which: to send it again stores the others
    /// twice.
    pub partial: bool,
    /// The log events that it was made of.
    pub log_events: LogEventRange,
}

impl fmt::Debug for Parked {
    /// Sizes only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parked({} items, {:?})", self.items, self.content)
    }
}

impl Parked {
    /// The same, with the times of the oldest and the newest record as the content says them.
    #[must_use]
    pub fn with_times(self) -> Self {
        let range = match &self.content {
            Content::Request(request) => time_range(request),
            Content::Events(batch) => {
                let times = batch.events.iter().filter_map(|event| unix_nano(event.timestamp_ms));
                times.clone().min().zip(times.max())
            }
            Content::Line { timestamp_ms, .. } => unix_nano(*timestamp_ms).map(|time| (time, time)),
            Content::Raw(_) => None,
        };
        match range {
            Some((oldest_unix_nano, newest_unix_nano)) => {
                Self { oldest_unix_nano, newest_unix_nano, ..self }
            }
            None => self,
        }
    }

    /// The same with another request in it, all of whose items are meant.
    pub(crate) fn with_request(&self, request: Request) -> Self {
        let (oldest_unix_nano, newest_unix_nano) = time_range(&request).unwrap_or_default();
        Self {
            destination: self.destination.clone(),
            stream: self.stream.clone(),
            items: request.items(),
            content: Content::Request(request),
            oldest_unix_nano,
            newest_unix_nano,
            first_seen_unix_nano: self.first_seen_unix_nano,
            reason: self.reason.clone(),
            partial: false,
            log_events: self.log_events.clone(),
        }
    }

    pub(crate) fn content_bytes(&self) -> usize {
        match &self.content {
            Content::Request(request) => request.bytes().len(),
            Content::Line { line, .. } => line.len(),
            Content::Events(batch) => batch.events.iter().map(|event| event.message.len()).sum(),
            Content::Raw(bytes) => bytes.len(),
        }
    }

    /// Parts of the content that can be sent by themselves.
    pub(super) fn units(&self) -> usize {
        match &self.content {
            Content::Request(request) => request.items(),
            Content::Events(batch) => batch.events.len(),
            Content::Line { .. } | Content::Raw(_) => 1,
        }
    }

    /// The first `units` and the others; `items` are shared out so that they add up.
    pub(super) fn cut(mut self, units: usize) -> (Self, Self) {
        let items = self.items.min(units);
        let (first, second) = match std::mem::replace(&mut self.content, Content::Raw(Vec::new())) {
            Content::Request(request) => {
                let (first, second) = request.split_at(units);
                (Content::Request(first), Content::Request(second))
            }
            Content::Events(mut batch) => {
                let events = batch.events.split_off(units.min(batch.events.len()));
                let second = LogBatch { events, ..batch.without_events() };
                (Content::Events(batch), Content::Events(second))
            }
            whole => (whole, Content::Raw(Vec::new())),
        };
        let rest = Self { content: second, items: self.items - items, ..self.clone() };
        (Self { content: first, items, ..self }.with_times(), rest.with_times())
    }
}

fn unix_nano(timestamp_ms: i64) -> Option<u64> {
    u64::try_from(timestamp_ms).ok()?.checked_mul(1_000_000)
}
