//! Messages for undelivered telemetry, and the queues that store them.
//!
//! `docs/guarantees.md` describes the message. Retry queue and dead-letter queue use the same format.

mod encoding;
mod message;
pub(crate) mod put;
pub(crate) mod redrive;

use crate::delivery::ingest_window::known_times;
use crate::report::{KeptIn, Undelivered};
use crate::source::{LogBatch, LogEventRange};
use backend::{Fate, TimeRange, UndeliveredPart};
use platform::EndedExecution;
use settings::{Setting, Variable};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::{Halve, Request};

pub use aws::{QueueError, SqsQueue};
pub use message::{MAX_MESSAGE_BYTES, Message};

#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    Request(Request),
    /// Unconverted log events. The message of an undecodable OTLP line has no `headers`.
    Events(LogBatch),
    /// An ended execution whose history is not read yet.
    Execution(Box<EndedExecution>),
    /// Unreadable bytes: a Kinesis record, or the body of a message.
    Raw(Vec<u8>),
}

impl Content {
    pub(crate) const EMPTY: Self = Self::Raw(Vec::new());

    /// Takes the content, and leaves none.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::EMPTY)
    }

    /// `request`, `events`, `execution` or `raw`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Events(_) => "events",
            Self::Execution(_) => "execution",
            Self::Raw(_) => "raw",
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Request(request) => request.bytes().len(),
            Self::Events(batch) => batch.events.iter().map(|event| event.message.len()).sum(),
            Self::Execution(execution) => execution.bytes(),
            Self::Raw(bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for Content {
    /// Shows sizes only, because the content is telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Events(batch) => {
                write!(f, "Events({}, {} bytes)", batch.events.len(), self.bytes())
            }
            Self::Execution(_) => write!(f, "Execution({} bytes)", self.bytes()),
            Self::Raw(bytes) => write!(f, "Raw({} bytes)", bytes.len()),
        }
    }
}

/// Undelivered telemetry, on its way to a queue or read from one, with all data for a later delivery.
///
/// It contains no credentials: the destination is a name from the settings.
#[derive(Clone, PartialEq, Eq)]
pub struct QueuedTelemetry {
    pub destination: String,
    /// OpenObserve's stream for logs and traces, if one was selected.
    pub stream: Option<String>,
    pub content: Content,
    /// Items counted for it: all items of the content, or the rejected ones for [`Fate::DeadLetterPartial`].
    pub items: usize,
    /// Time of the oldest record, in nanoseconds since the Unix epoch; `None` if no record has a time.
    pub oldest_unix_nano: Option<u64>,
    /// Time of the newest record; `None` if no record has a time.
    pub newest_unix_nano: Option<u64>,
    /// Time at which the forwarder first had it.
    pub first_seen_unix_nano: u64,
    /// The reason, for an operator. `backend` has masked the values of headers in it, and the encoder truncates it to 1,000
    /// characters.
    pub reason: String,
    /// The next step. A message stores only [`Fate::DeadLetterPartial`]: telemetry read from a queue is otherwise sent again.
    pub fate: Fate,
    pub log_events: LogEventRange,
    /// `true` if its log group also contains it, so that Lambda need not deliver it again without a queue. Messages do not store
    /// this.
    pub is_in_log_group: bool,
}

impl fmt::Debug for QueuedTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueuedTelemetry({} items, {:?})", self.items, self.content)
    }
}

impl QueuedTelemetry {
    pub(crate) fn new(
        destination: &str,
        content: Content,
        items: usize,
        reason: String,
        log_events: &LogEventRange,
        first_seen_unix_nano: u64,
    ) -> Self {
        let queued = Self {
            destination: destination.to_owned(),
            stream: None,
            content,
            items,
            oldest_unix_nano: None,
            newest_unix_nano: None,
            first_seen_unix_nano,
            reason,
            fate: Fate::Park,
            log_events: log_events.clone(),
            is_in_log_group: false,
        };
        queued.with_times()
    }

    /// A part of a request that its destination did not accept.
    pub(crate) fn of_part(
        part: UndeliveredPart,
        destination: &str,
        stream: Option<&str>,
        log_events: &LogEventRange,
        first_seen_unix_nano: u64,
    ) -> Self {
        let content = Content::Request(part.request);
        let reason = part.reason.to_string();
        let items = part.items;
        Self {
            stream: stream.map(str::to_owned),
            fate: part.fate,
            ..Self::new(destination, content, items, reason, log_events, first_seen_unix_nano)
        }
    }

    /// Returns `false` if it is sent again.
    pub(crate) fn is_dead_letter(&self) -> bool {
        matches!(self.fate, Fate::DeadLetter | Fate::DeadLetterPartial)
    }

    /// Describes it for the report, with its place if no queue accepts it.
    pub(crate) fn described(&self) -> Undelivered {
        let signal = match &self.content {
            Content::Request(request) => Some(request.kind()),
            _ => None,
        };
        Undelivered {
            destination: self.destination.clone(),
            signal,
            items: self.items,
            reason: self.reason.clone(),
            kept_in: if self.is_in_log_group { KeptIn::LogGroup } else { KeptIn::Returned(None) },
            fate: self.fate,
        }
    }

    fn with_times(self) -> Self {
        let times = match &self.content {
            Content::Request(request) => known_times(request),
            Content::Events(batch) => {
                let known = batch.events.iter().filter_map(|event| unix_nano(event.timestamp_ms));
                TimeRange::of(known)
            }
            Content::Execution(execution) => {
                TimeRange::of([execution.started_unix_nano, execution.ended_unix_nano])
            }
            Content::Raw(_) => None,
        };
        match times {
            Some(TimeRange { oldest_unix_nano, newest_unix_nano }) => Self {
                oldest_unix_nano: Some(oldest_unix_nano),
                newest_unix_nano: Some(newest_unix_nano),
                ..self
            },
            None => self,
        }
    }
}

impl Halve for QueuedTelemetry {
    /// Number of items or log events, which can be sent separately.
    fn items(&self) -> usize {
        match &self.content {
            Content::Request(request) => request.items(),
            Content::Events(batch) => batch.events.len(),
            Content::Execution(_) | Content::Raw(_) => 1,
        }
    }

    fn bytes(&self) -> usize {
        self.content.bytes()
    }

    /// The `items` of both halves add up.
    fn into_halves(mut self) -> (Self, Self) {
        let half = Halve::items(&self).div_ceil(2);
        let (content, rest_of_content) = match self.content.take() {
            Content::Request(request) => {
                let (first, second) = request.split_at(half);
                (Content::Request(first), Content::Request(second))
            }
            Content::Events(mut first) => {
                let events = first.events.split_off(half);
                let second = LogBatch { events, ..first.without_events() };
                (Content::Events(first), Content::Events(second))
            }
            whole @ (Content::Execution(_) | Content::Raw(_)) => (whole, Content::EMPTY),
        };
        let items = self.items.min(half);
        let rest_items = self.items - items;
        let rest = Self { content: rest_of_content, items: rest_items, ..self.clone() };
        let first = Self { content, items, ..self };
        (first.with_times(), rest.with_times())
    }
}

fn unix_nano(timestamp_ms: i64) -> Option<u64> {
    u64::try_from(timestamp_ms).ok()?.checked_mul(1_000_000)
}

pub trait Queue: Send + Sync {
    /// Sends messages, hidden for `delay` (at most 15 minutes), before `deadline`, and notes in each message what the queue
    /// answered. A message without an answer counts as refused.
    fn send(
        &self,
        messages: Vec<&mut Message>,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = ()> + Send;

    /// Hides a received message for `delay` (at most 12 hours after the receipt) in place of the queue's visibility timeout.
    fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

impl Queue for SqsQueue {
    async fn send(&self, messages: Vec<&mut Message>, delay: Duration, deadline: Instant) {
        let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
        let answers = self.send_messages(&bodies, delay, deadline).await;
        for (message, answer) in messages.into_iter().zip(answers) {
            message.answer = Some(answer);
        }
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        self.change_visibility(receipt_handle, delay, deadline).await
    }
}

pub(crate) const RETRY_QUEUE_URL: Setting<Url> = Setting::url(
    "LAMBDA_OTLP_RETRY_QUEUE_URL",
    "URL of the SQS queue for telemetry to send again. The stack sets it. Without it, Lambda delivers the event again.",
);

pub(crate) const DEAD_LETTER_QUEUE_URL: Setting<Url> = Setting::url(
    "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL",
    "URL of the SQS queue for telemetry that the backend rejects. The stack sets it. Without it, an undecodable line is only reported, and an event with rejected telemetry is returned to Lambda.",
);

/// The variables of the queues. [`aws::SQS`] and [`aws::AWS`] belong to them.
pub(crate) const QUEUES: &[Variable] = &[RETRY_QUEUE_URL.row(), DEAD_LETTER_QUEUE_URL.row()];
