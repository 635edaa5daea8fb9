//! Divides queued content into messages that fit into a queue, and shortens content that does not fit.

use super::encoding;
use super::{Content, QueueError, QueuedTelemetry};
use crate::source::{LogBatch, LogEvent};
use sha2::{Digest as _, Sha256};
use std::fmt;
use wire::ids::to_hex;
use wire::{Pieces, shortened_text};

/// Size limit of a message. SQS accepts 1 MiB (Amazon SQS Developer Guide, "Message quotas"); the difference leaves room for a
/// wrapper.
pub const MAX_MESSAGE_BYTES: usize = 900 * 1024;

/// A log event's texts and unreadable bytes are shortened to the first of these lengths that makes them fit. The fourth one fits
/// unless JSON escapes lengthen it.
const SHORTENED_BYTES: [usize; 9] = {
    const KIB: usize = 1024;
    [4096 * KIB, 2048 * KIB, 1024 * KIB, 640 * KIB, 256 * KIB, 64 * KIB, 16 * KIB, KIB, 128]
};

/// A longer reason would displace the note that the content was shortened.
const MAX_REASON_CHARS_BEFORE_NOTE: usize = 800;

#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub body: String,
    pub items: usize,
    /// What the queue answered; `None` if it said nothing about this message.
    pub answer: Option<Result<(), QueueError>>,
}

impl Message {
    /// A message that was not sent yet.
    pub fn new(body: String, items: usize) -> Self {
        Self { body, items, answer: None }
    }
}

impl fmt::Debug for Message {
    /// Shows sizes only, because the content is telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} items, {} bytes)", self.items, self.body.len())
    }
}

/// Content that is too large for a message and cannot be divided.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of {} items has {encoded_bytes} bytes as a message, more than the limit of {max_bytes}",
    queued.content.name(), queued.items
)]
pub struct TooLargeForQueue {
    queued: Box<QueuedTelemetry>,
    /// Its size as one message, or its inflated size if that exceeds the limit for reading.
    encoded_bytes: usize,
    max_bytes: usize,
}

impl QueuedTelemetry {
    /// Encodes the content into messages of at most `max_bytes`, divided between items or log events. What is larger than a message
    /// is shortened: returned to Lambda, it would come again and again, with all its neighbours. The items of all messages add up
    /// to `items`. Each message is readable by [`from_body`](Self::from_body).
    ///
    /// A message exceeds `max_bytes` only if the keys around its content do.
    pub fn into_messages(self, max_bytes: usize) -> Vec<Message> {
        let MessageParts { mut messages, too_large } = self.divide(max_bytes);
        for TooLargeForQueue { queued, .. } in too_large {
            messages.extend(queued.shorten_to_fit(max_bytes));
        }
        messages
    }

    /// Like [`into_messages`](Self::into_messages), but fails if a part of the content would have to be shortened.
    pub fn into_whole_messages(self, max_bytes: usize) -> Result<Vec<Message>, TooLargeForQueue> {
        let MessageParts { messages, too_large } = self.divide(max_bytes);
        too_large.into_iter().next().map_or(Ok(messages), Err)
    }

    /// Decodes a message written by [`into_messages`](Self::into_messages) of this version or a later one.
    pub fn from_body(body: &str) -> Result<Self, encoding::NotQueueMessage> {
        encoding::decode(body)
    }

    fn divide(self, max_bytes: usize) -> MessageParts {
        let mut divided = MessageParts::default();
        let mut pieces = Pieces::new(vec![self]);
        while let Some(queued) = pieces.take_next() {
            let encoded_bytes = match encoding::encode(&queued) {
                Ok(body) if body.len() <= max_bytes => {
                    divided.messages.push(Message::new(body, queued.items));
                    continue;
                }
                Ok(body) => body.len(),
                Err(too_large) => too_large.inflated_bytes,
            };
            // Dividing the content does not help if the fields around it are too large.
            let may_help = encoding::frame_bytes(&queued) <= max_bytes / 2;
            let kept_whole = if may_help { pieces.halve(queued).err() } else { Some(queued) };
            if let Some(queued) = kept_whole {
                let queued = Box::new(queued);
                divided.too_large.push(TooLargeForQueue { queued, encoded_bytes, max_bytes });
            }
        }
        divided
    }

    /// Shortens content that cannot be divided further until its messages fit.
    fn shorten_to_fit(self, max_bytes: usize) -> Vec<Message> {
        let whole = encoding::content_bytes(&self.content);
        let sha256 = to_hex(&Sha256::digest(&whole));
        let bytes = whole.len();
        let Self { ref destination, ref content, items, .. } = self;
        tracing::warn!(
            destination,
            content = content.name(),
            items,
            bytes,
            sha256,
            "larger than a queue message, shortened to fit"
        );
        let before: String = self.reason.chars().take(MAX_REASON_CHARS_BEFORE_NOTE).collect();
        let reason =
            format!("{before}; shortened from {bytes} bytes (SHA-256 {sha256}) to fit a message");
        let shortened =
            |content| Self { content, reason: reason.clone(), ..self.without_content() };
        for content in content.shorter_versions() {
            let MessageParts { messages, too_large } = shortened(content).divide(max_bytes);
            if too_large.is_empty() {
                return messages;
            }
        }
        let body = encoding::encode(&shortened(Content::EMPTY)).unwrap_or_default();
        vec![Message::new(body, items)]
    }

    fn without_content(&self) -> Self {
        let Self { ref destination, ref stream, ref reason, ref log_events, .. } = *self;
        Self {
            destination: destination.clone(),
            stream: stream.clone(),
            content: Content::EMPTY,
            reason: reason.clone(),
            log_events: log_events.clone(),
            ..*self
        }
    }
}

/// Divided content.
#[derive(Default)]
struct MessageParts {
    messages: Vec<Message>,
    too_large: Vec<TooLargeForQueue>,
}

impl Content {
    /// Ever shorter versions of the content.
    fn shorter_versions(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        match self {
            Self::Request(request) => {
                Box::new(request.shortened().map(|shortened| Self::Request(shortened.request)))
            }
            Self::Events(batch) => Box::new(
                SHORTENED_BYTES
                    .into_iter()
                    .map(|bytes| Self::Events(shortened_batch(batch, bytes))),
            ),
            // Its texts have limits below that of a message.
            Self::Execution(_) => Box::new(std::iter::empty()),
            Self::Raw(raw) => Box::new(SHORTENED_BYTES.into_iter().filter_map(|bytes| {
                raw.get(..bytes).map(|beginning| Self::Raw(beginning.to_vec()))
            })),
        }
    }
}

fn shortened_batch(batch: &LogBatch, max_bytes: usize) -> LogBatch {
    let shorten = |text: &str| match text.len() {
        bytes if bytes > max_bytes => shortened_text(text, max_bytes),
        _ => text.to_owned(),
    };
    let events = batch.events.iter().map(|event| LogEvent {
        id: shorten(&event.id),
        timestamp_ms: event.timestamp_ms,
        message: shorten(&event.message),
    });
    LogBatch { events: events.collect(), ..batch.without_events() }
}
