//! Errors of a queue.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    #[error("queue {queue} refused with {code}{}{hint}", describe(text))]
    Refused {
        queue: String,
        /// AWS's code, such as `AccessDenied`.
        code: String,
        /// AWS's text, cut; may be empty.
        text: String,
        /// The remedy, with its separator; may be empty.
        hint: String,
    },
    /// No answer, or one that leaves the message's fate unknown.
    #[error("queue {queue} did not answer: {text}")]
    NoResponse {
        queue: String,
        text: String,
        /// `true` if the message may be in the queue.
        ambiguous: bool,
    },
    /// The deadline passed before the request.
    #[error("queue {queue} was not called: the deadline has passed")]
    Deadline { queue: String },
    /// The message exceeds the size limit.
    #[error("message of {bytes} bytes is larger than the {most} bytes that queue {queue} accepts")]
    TooLarge { queue: String, bytes: usize, most: usize },
}

impl QueueError {
    /// Returns `true` if the message may be in the queue, so that handling it otherwise may duplicate it.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::NoResponse { ambiguous: true, .. })
    }
}

fn describe(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
