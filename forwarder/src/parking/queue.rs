//! What is asked of a queue, and what it may answer.

use super::Message;
use std::time::Duration;
use tokio::time::Instant;

/// A queue that parked messages are sent to.
pub trait Queue: Send + Sync {
    /// Sends the messages, each to be seen by nobody for `delay` (at most 15 minutes). One result for each message, in
    /// order; over by `deadline`.
    fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = Vec<Result<(), QueueError>>> + Send;

    /// Lets a message that was received come again after `delay` (at most 12 hours after it was received) instead of at
    /// the end of the queue's own visibility timeout.
    fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

impl<Q: Queue> Queue for std::sync::Arc<Q> {
    async fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        Q::send(self, messages, delay, deadline).await
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        Q::postpone(self, receipt_handle, delay, deadline).await
    }
}

/// Why a queue did not do what it was asked. Says which queue, what it answered, and what a person can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The queue refused; the message is not in it.
    #[error("queue {queue} refused with {code}{}{hint}", describe(text))]
    Refused {
        /// The queue's name.
        queue: String,
        /// AWS's code, such as `AccessDenied`.
        code: String,
        /// AWS's words, cut; may be empty.
        text: String,
        /// What to do about it, with its separator; may be empty.
        hint: String,
    },
    /// No answer, or none that says what became of the message.
    #[error("queue {queue} gave no answer: {text}")]
    NoAnswer {
        /// The queue's name.
        queue: String,
        /// What happened.
        text: String,
        /// Whether the message may be in the queue all the same.
        ambiguous: bool,
    },
    /// The deadline had come before it was asked.
    #[error("queue {queue} was not asked: the deadline had come")]
    Deadline {
        /// The queue's name.
        queue: String,
    },
    /// No request can hold the message.
    #[error("message of {bytes} bytes is larger than the {most} bytes that queue {queue} takes")]
    TooLarge {
        /// The queue's name.
        queue: String,
        /// Its size.
        bytes: usize,
        /// Most bytes.
        most: usize,
    },
}

impl QueueError {
    /// Whether the message may be in the queue all the same: what is done with it besides may then be done twice.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::NoAnswer { ambiguous: true, .. })
    }
}

fn describe(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
