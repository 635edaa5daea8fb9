//! Scripted answers of a queue.

/// The answer to one request that sends or postpones messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueResponse {
    /// The regular answer.
    Take,
    Refuse(Refusal),
    /// It takes the request, but not the entries of these positions.
    RefuseEntries(Vec<usize>, Refusal),
    /// It takes nothing, and there is no answer.
    Lose,
    /// It takes the messages, and there is no answer.
    Swallow,
    /// It takes nothing, and the connection stays open without an answer.
    Hang,
}

impl QueueResponse {
    pub fn refuse(status: u16, code: &str) -> Self {
        Self::Refuse(Refusal::new(status, code, "scripted"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// AWS's code, such as `AWS.SimpleQueueService.NonExistentQueue`.
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn sender(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }
}
