//! An SQS standard queue in memory, and the endpoint that serves it.
//!
//! Messages are hidden while they are received or delayed, return after their visibility timeout, and expire after
//! the retention period, all on tokio's clock, so a test with a paused clock skips days. The queue's answers can be
//! scripted. Limits are from the Amazon SQS Developer Guide, "Message quotas".

mod server;

use crate::lock;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

pub use server::{QueueRequest, QueueServer};

/// Largest message, and largest sum of the messages of one batch.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
pub const MAX_BATCH: usize = 10;
/// Our template's retention.
const RETENTION: Duration = Duration::from_hours(14 * 24);
/// Longest time for which a message is hidden after it was received.
const MAX_VISIBILITY_TIMEOUT: Duration = Duration::from_hours(12);
const MAX_DELAY: Duration = Duration::from_mins(15);

/// A message as its sender gives it.
#[derive(Debug)]
struct SentMessage {
    body: String,
    /// The attributes (`{"name": {"DataType": "String", "StringValue": "x"}}`); null without any.
    attributes: Value,
}

#[derive(Debug, PartialEq, Eq)]
pub enum BatchResult {
    /// The result of each message: its id, or the reason why the queue refused it.
    Answered(Vec<Result<String, Refusal>>),
    Refused(Refusal),
    /// No answer; the sender cannot know the fate of the messages.
    NoAnswer,
    /// There is no answer, and the connection stays open.
    Hangs,
}

/// The result of hiding a message for longer.
#[derive(Debug, PartialEq, Eq)]
pub enum PostponeResult {
    Postponed,
    Refused(Refusal),
    /// No answer; the caller cannot know whether the message is hidden.
    NoAnswer,
    /// There is no answer, and the connection stays open.
    Hangs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    pub message_id: String,
    pub receipt_handle: String,
    pub body: String,
    /// Its attributes, as the sender gave them; null if it gave none.
    pub attributes: Value,
    pub receive_count: u32,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: u64,
    /// When it was received for the first time, in milliseconds since the Unix epoch.
    pub first_received_ms: u64,
}

/// A message in the queue.
#[derive(Debug)]
struct StoredMessage {
    id: u64,
    body: String,
    attributes: Value,
    receive_count: u32,
    sent_at: Instant,
    visible_at: Instant,
    /// The time at which it was last received. It may be hidden for [`MAX_VISIBILITY_TIMEOUT`] from then.
    received_at: Option<Instant>,
    first_received_at: Option<Instant>,
}

#[derive(Debug)]
struct State {
    messages: VecDeque<StoredMessage>,
    /// The answers to the next requests.
    script: VecDeque<QueueResponse>,
    visibility_timeout: Duration,
    next_id: u64,
    /// The number of messages that were accepted so far.
    taken: usize,
}

/// The queue; clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Queue {
    name: Arc<str>,
    state: Arc<Mutex<State>>,
    began: Instant,
    began_ms: u64,
}

impl Queue {
    /// An empty queue, with AWS's default for the visibility timeout.
    pub fn new(name: &str) -> Self {
        let state = State {
            messages: VecDeque::new(),
            script: VecDeque::new(),
            visibility_timeout: Duration::from_secs(30),
            next_id: 0,
            taken: 0,
        };
        Self {
            name: name.into(),
            state: Arc::new(Mutex::new(state)),
            began: Instant::now(),
            began_ms: crate::clock::now().millis(),
        }
    }

    /// Sets the time at which the queue was made, in milliseconds since the Unix epoch. The times of messages follow from it.
    #[must_use]
    pub fn made_at(self, unix_ms: u64) -> Self {
        Self { began_ms: unix_ms, ..self }
    }

    fn unix_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began).as_millis();
        self.began_ms + u64::try_from(since).unwrap_or(u64::MAX)
    }

    #[must_use]
    pub fn visibility_timeout(self, timeout: Duration) -> Self {
        lock(&self.state).visibility_timeout = timeout;
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers the next requests like this, and those after them with [`QueueResponse::Take`].
    pub fn script(&self, responses: impl IntoIterator<Item = QueueResponse>) {
        lock(&self.state).script.extend(responses);
    }

    /// Sends messages without attributes, hidden for `delay` at first.
    pub fn send_batch(&self, bodies: &[String], delay: Duration) -> BatchResult {
        let message = |body: &String| SentMessage { body: body.clone(), attributes: Value::Null };
        let messages: Vec<_> = bodies.iter().map(message).collect();
        self.send_messages(&messages, delay)
    }

    fn send_messages(&self, messages: &[SentMessage], delay: Duration) -> BatchResult {
        let mut state = lock(&self.state);
        let answer = state.script.pop_front().unwrap_or(QueueResponse::Take);
        match &answer {
            QueueResponse::Refuse(refusal) => return BatchResult::Refused(refusal.clone()),
            QueueResponse::DropRequest => return BatchResult::NoAnswer,
            QueueResponse::Hang => return BatchResult::Hangs,
            QueueResponse::Take | QueueResponse::RefuseEntries(..) | QueueResponse::DropAnswer => {}
        }
        if let Err(refusal) = check_batch(messages, delay) {
            return BatchResult::Refused(refusal);
        }
        let results: Vec<_> = messages
            .iter()
            .enumerate()
            .map(|(position, message)| match &answer {
                QueueResponse::RefuseEntries(refused, refusal) if refused.contains(&position) => {
                    Err(refusal.clone())
                }
                _ => check_body(&message.body).map(|()| state.store(message, delay)),
            })
            .collect();
        if answer == QueueResponse::DropAnswer {
            BatchResult::NoAnswer
        } else {
            BatchResult::Answered(results)
        }
    }

    /// Receives at most `most` messages, the oldest first; they are hidden for the visibility timeout.
    pub fn receive(&self, most: usize) -> Vec<ReceivedMessage> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.remove_expired(now);
        let timeout = state.visibility_timeout;
        let visible = state.messages.iter_mut().filter(|message| message.visible_at <= now);
        let received = visible.take(most.min(MAX_BATCH)).map(|message| {
            message.receive_count += 1;
            message.visible_at = now + timeout;
            message.received_at = Some(now);
            ReceivedMessage {
                message_id: format!("message-{}", message.id),
                receipt_handle: format!("{}-{}", message.id, message.receive_count),
                body: message.body.clone(),
                attributes: message.attributes.clone(),
                receive_count: message.receive_count,
                sent_ms: self.unix_ms(message.sent_at),
                first_received_ms: self.unix_ms(*message.first_received_at.get_or_insert(now)),
            }
        });
        received.collect()
    }

    /// Hides a received message for `delay` from now (`ChangeMessageVisibility`).
    pub fn postpone(&self, receipt_handle: &str, delay: Duration) -> PostponeResult {
        let mut state = lock(&self.state);
        let answer = state.script.pop_front().unwrap_or(QueueResponse::Take);
        let drops_answer = answer == QueueResponse::DropAnswer;
        match answer {
            QueueResponse::Refuse(refusal) => return PostponeResult::Refused(refusal),
            QueueResponse::DropRequest => return PostponeResult::NoAnswer,
            QueueResponse::Hang => return PostponeResult::Hangs,
            QueueResponse::Take | QueueResponse::RefuseEntries(..) | QueueResponse::DropAnswer => {}
        }
        let result = state.postpone(receipt_handle, delay);
        match result {
            _ if drops_answer => PostponeResult::NoAnswer,
            Ok(()) => PostponeResult::Postponed,
            Err(refusal) => PostponeResult::Refused(refusal),
        }
    }

    /// Makes hidden messages visible, as if their visibility timeouts had passed.
    pub fn reveal(&self) {
        let now = Instant::now();
        for message in &mut lock(&self.state).messages {
            message.visible_at = message.visible_at.min(now);
        }
    }

    pub fn delete(&self, receipt_handle: &str) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        let id = state.message_of(receipt_handle)?.id;
        state.messages.retain(|message| message.id != id);
        Ok(())
    }

    /// Deletes the received messages that a response with `ReportBatchItemFailures` does not name as failed.
    pub fn delete_handled(
        &self,
        received: &[ReceivedMessage],
        response: &[u8],
    ) -> Result<(), Refusal> {
        let response: Value = serde_json::from_slice(response).unwrap_or_default();
        let Some(failures) = response.get("batchItemFailures").and_then(Value::as_array) else {
            return Err(Refusal::sender("NoBatchResponse", response.to_string()));
        };
        let is_handled = |message: &&ReceivedMessage| {
            let id = Some(message.message_id.as_str());
            !failures.iter().any(|failure| failure["itemIdentifier"].as_str() == id)
        };
        received
            .iter()
            .filter(is_handled)
            .try_for_each(|message| self.delete(&message.receipt_handle))
    }

    pub fn len(&self) -> usize {
        let mut state = lock(&self.state);
        state.remove_expired(Instant::now());
        state.messages.len()
    }

    /// Returns `true` if it holds no message, not even a hidden one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of messages that it has accepted, deleted ones included.
    pub fn taken(&self) -> usize {
        lock(&self.state).taken
    }

    /// The texts of all messages in it, hidden ones included, the oldest first.
    pub fn bodies(&self) -> Vec<String> {
        lock(&self.state).messages.iter().map(|message| message.body.clone()).collect()
    }

    /// Returns the time until a message can be received; `None` if there is none.
    pub fn next_visible_in(&self) -> Option<Duration> {
        let now = Instant::now();
        let state = lock(&self.state);
        let next = state.messages.iter().map(|message| message.visible_at).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// The event with which Lambda hands these messages to a function (Lambda Developer Guide, "Using Lambda with Amazon
    /// SQS").
    pub fn lambda_event(&self, received: &[ReceivedMessage]) -> Value {
        let record = |message: &ReceivedMessage| {
            json!({
                "messageId": message.message_id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": message.receive_count.to_string(),
                    "SentTimestamp": message.sent_ms.to_string(),
                    "SenderId": "AROASIMULATED:forwarder",
                    "ApproximateFirstReceiveTimestamp": message.first_received_ms.to_string(),
                },
                "messageAttributes": lambda_attributes(&message.attributes),
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:eu-central-1:123456789012:{}", self.name),
                "awsRegion": "eu-central-1",
            })
        };
        json!({ "Records": received.iter().map(record).collect::<Vec<_>>() })
    }
}

impl State {
    fn store(&mut self, message: &SentMessage, delay: Duration) -> String {
        let now = Instant::now();
        let id = self.next_id;
        self.next_id += 1;
        self.taken += 1;
        self.messages.push_back(StoredMessage {
            id,
            body: message.body.clone(),
            attributes: message.attributes.clone(),
            receive_count: 0,
            sent_at: now,
            visible_at: now + delay,
            received_at: None,
            first_received_at: None,
        });
        format!("message-{id}")
    }

    fn postpone(&mut self, receipt_handle: &str, delay: Duration) -> Result<(), Refusal> {
        let now = Instant::now();
        let message = self.message_of(receipt_handle)?;
        let Some(received_at) = message.received_at.filter(|_| message.visible_at > now) else {
            return Err(Refusal::sender(
                "AWS.SimpleQueueService.MessageNotInflight",
                "the message is visible",
            ));
        };
        if now + delay > received_at + MAX_VISIBILITY_TIMEOUT {
            return Err(Refusal::sender(
                "InvalidParameterValue",
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            ));
        }
        message.visible_at = now + delay;
        Ok(())
    }

    fn remove_expired(&mut self, now: Instant) {
        self.messages.retain(|message| now.saturating_duration_since(message.sent_at) < RETENTION);
    }

    /// Returns the message that the receipt names. Only the newest receipt is valid.
    fn message_of(&mut self, receipt_handle: &str) -> Result<&mut StoredMessage, Refusal> {
        self.messages
            .iter_mut()
            .find(|message| format!("{}-{}", message.id, message.receive_count) == receipt_handle)
            .ok_or_else(|| Refusal::sender("ReceiptHandleIsInvalid", "no such receipt"))
    }
}

fn lambda_attributes(attributes: &Value) -> Value {
    let of_one = |value: &Value| {
        json!({
            "stringValue": value.get("StringValue"),
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": value.get("DataType"),
        })
    };
    let attributes = attributes.as_object().into_iter().flatten();
    attributes.map(|(name, value)| (name.clone(), of_one(value))).collect()
}

fn check_batch(messages: &[SentMessage], delay: Duration) -> Result<(), Refusal> {
    let refuse = |code: &str, message: &str| {
        Err(Refusal::sender(&format!("AWS.SimpleQueueService.{code}"), message))
    };
    if messages.is_empty() {
        return refuse("EmptyBatchRequest", "there is no entry");
    }
    if messages.len() > MAX_BATCH {
        return refuse("TooManyEntriesInBatchRequest", "at most 10 entries");
    }
    if messages.iter().map(|message| message.body.len()).sum::<usize>() > MAX_MESSAGE_BYTES {
        return refuse("BatchRequestTooLong", "at most 1048576 bytes");
    }
    if delay > MAX_DELAY {
        return Err(Refusal::sender("InvalidParameterValue", "DelaySeconds is at most 900"));
    }
    Ok(())
}

/// API reference, `SendMessage`: `#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF`.
fn check_body(body: &str) -> Result<(), Refusal> {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if body.is_empty() || !body.chars().all(is_allowed) {
        return Err(Refusal::sender("InvalidMessageContents", "empty, or a character is refused"));
    }
    Ok(())
}

/// The answer to one request that sends or postpones messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueResponse {
    /// The queue accepts the messages that SQS would accept.
    Take,
    /// The queue refuses the request.
    Refuse(Refusal),
    /// The queue accepts the request, but not the entries at these positions.
    RefuseEntries(Vec<usize>, Refusal),
    /// The queue carries out nothing, and the connection is closed without an answer.
    DropRequest,
    /// The queue carries out the request, and the connection is closed without an answer.
    DropAnswer,
    /// The queue carries out nothing, and the connection stays open without an answer.
    Hang,
}

impl QueueResponse {
    pub fn refuse(status: u16, code: &str) -> Self {
        Self::Refuse(Refusal::new(status, code, "scripted"))
    }
}

/// An error that SQS answers.
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

    fn sender(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests;
