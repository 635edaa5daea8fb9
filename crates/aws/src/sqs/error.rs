//! Why a queue did not do what it was asked.

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
    NoResponse {
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
        matches!(self, Self::NoResponse { ambiguous: true, .. })
    }
}

fn describe(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
