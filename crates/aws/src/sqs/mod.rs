//! An Amazon SQS queue by AWS JSON 1.0.
//!
//! The first message creates the HTTP client, because most invocations send none. A request without a response is not retried,
//! because the message could be in the queue twice. Only certain refusals are retried.

mod address;
mod response;

use crate::client::{AwsClient, AwsResponse, JsonRequest};
use crate::credentials::CredentialsProvider;
pub use address::{SqsSettings, region_of_host};
use response::{SendBatchResponse, check_response, without_response};
use serde::Serialize;
use settings::{Backoff, Jitter};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep_until};

/// Maximum size of a message, and of all messages of one request (Amazon SQS Developer Guide, "Message quotas").
const MAX_BATCH_BYTES: usize = 1024 * 1024;
const MAX_BATCH_ENTRIES: usize = 10;
/// Maximum delay of a new message (Amazon SQS Developer Guide, "Message quotas").
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);
/// Maximum visibility timeout: SQS hides a message for at most 12 hours after it was received, possibly a whole invocation ago.
pub const LONGEST_VISIBILITY_TIMEOUT: Duration = Duration::from_mins(12 * 60 - 15);
/// Maximum number of retries after temporary refusals.
const MAX_RETRIES: u32 = 2;
/// Time limit of one attempt, so that an unresponsive queue does not block the invocation.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
/// Maximum size of a response: ten entries of about 200 bytes, or more with error texts.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch<'a> {
    queue_url: &'a str,
    entries: Vec<SendMessageEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageEntry<'a> {
    id: String,
    message_body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeMessageVisibility<'a> {
    queue_url: &'a str,
    receipt_handle: &'a str,
    visibility_timeout: u64,
}

#[derive(Debug)]
pub struct SqsQueue {
    settings: SqsSettings,
    credentials: CredentialsProvider,
    client: AwsClient,
}

impl SqsQueue {
    /// Creates a queue from these settings; `clock` gives the signing time.
    pub fn new(settings: SqsSettings, clock: fn() -> SystemTime) -> Self {
        let client = AwsClient::new(clock, settings.proxy.clone());
        Self::with_client(settings, client)
    }

    /// Sends with this client, which knows the proxy.
    pub fn with_client(settings: SqsSettings, client: AwsClient) -> Self {
        let credentials = CredentialsProvider::of(settings.credentials.clone());
        Self { settings, credentials, client }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Sends messages with these bodies, hidden for `delay` (at most 15 minutes). Returns one result each, in order, by
    /// `deadline`.
    pub async fn send_messages(
        &self,
        bodies: &[&str],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        // The result of each message so far; `None` until it was sent.
        let mut results: Vec<Option<Result<(), QueueError>>> =
            bodies.iter().map(|body| self.too_large(body).map(Err)).collect();
        'attempts: for retry in 0..=MAX_RETRIES {
            let numbered = results.iter().enumerate();
            let to_send: Vec<usize> = numbered
                .filter_map(|(position, result)| is_to_send(result.as_ref()).then_some(position))
                .collect();
            for batch in batches(&to_send, bodies) {
                if Instant::now() >= deadline {
                    break 'attempts;
                }
                let sent = self.send_batch(&batch, delay, deadline).await;
                for (message, result) in batch.into_iter().zip(sent) {
                    if let Some(slot) = results.get_mut(message.position) {
                        *slot = Some(result);
                    }
                }
            }
            let is_done = !results.iter().any(|result| is_to_send(result.as_ref()));
            if is_done || !wait_for_retry(retry, deadline).await {
                break;
            }
        }
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(self.not_called()))).collect()
    }

    /// Hides a received message for `timeout` from now (at most until 12 hours after it was received), regardless of its current
    /// visibility timeout.
    pub async fn change_visibility(
        &self,
        receipt_handle: &str,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        let request = ChangeMessageVisibility {
            queue_url: &self.settings.url,
            receipt_handle,
            visibility_timeout: whole_seconds(timeout.min(LONGEST_VISIBILITY_TIMEOUT)),
        };
        let mut last_error = self.not_called();
        for retry in 0..=MAX_RETRIES {
            if Instant::now() >= deadline {
                break;
            }
            let called = self.call("ChangeMessageVisibility", &request, deadline).await;
            let Err(error) = called else { return Ok(()) };
            last_error = error;
            if !last_error.is_temporary || !wait_for_retry(retry, deadline).await {
                break;
            }
        }
        Err(last_error)
    }

    /// Calls an action once, and returns the successful response.
    async fn call(
        &self,
        action: &str,
        arguments: &impl Serialize,
        deadline: Instant,
    ) -> Result<AwsResponse, QueueError> {
        // Text and numbers: this cannot fail.
        let body = serde_json::to_vec(arguments).unwrap_or_default();
        let request = JsonRequest {
            credentials: &self.credentials,
            service: "sqs",
            region: &self.settings.region,
            endpoint: &self.settings.endpoint,
            content_type: "application/x-amz-json-1.0",
            target: &format!("AmazonSQS.{action}"),
            body,
            deadline: deadline.min(Instant::now() + LONGEST_ATTEMPT),
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        match self.client.send(request).await {
            Ok(response) => check_response(&self.settings, action, response),
            Err(error) => Err(without_response(&self.settings, &error)),
        }
    }

    fn not_called(&self) -> QueueError {
        let text = format!("queue {} was not called: the deadline has passed", self.settings.name);
        QueueError::temporary(text)
    }

    /// Sends one request; results in order of `batch`.
    async fn send_batch(
        &self,
        batch: &[BatchMessage<'_>],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let delay_seconds = whole_seconds(delay.min(LONGEST_DELAY));
        let entries = batch.iter().map(|message| SendMessageEntry {
            id: message.position.to_string(),
            message_body: message.body,
            delay_seconds: (delay_seconds > 0).then_some(delay_seconds),
        });
        let request =
            SendMessageBatch { queue_url: &self.settings.url, entries: entries.collect() };
        let response = self.call("SendMessageBatch", &request, deadline).await;
        match response.and_then(|response| SendBatchResponse::read(&self.settings, &response)) {
            Ok(response) => {
                let ids = batch.iter().map(|message| message.position.to_string());
                ids.map(|id| response.result(&self.settings, &id)).collect()
            }
            Err(error) => vec![Err(error); batch.len()],
        }
    }

    /// The error of a message that is larger than a request may be.
    fn too_large(&self, body: &str) -> Option<QueueError> {
        let name = &self.settings.name;
        let bytes = body.len();
        if bytes <= MAX_BATCH_BYTES {
            return None;
        }
        let text = format!(
            "message of {bytes} bytes is larger than the {MAX_BATCH_BYTES} bytes that queue {name} accepts"
        );
        Some(QueueError::refused(text))
    }
}

/// Waits before the next attempt. Returns `false` at once if the attempts or the time are used up.
async fn wait_for_retry(retry: u32, deadline: Instant) -> bool {
    let next = Instant::now() + BACKOFF.delay(retry, Jitter::NONE);
    let is_last = retry == MAX_RETRIES || next >= deadline;
    if !is_last {
        sleep_until(next).await;
    }
    !is_last
}

/// Returns `true` if a message was not sent yet, or was refused temporarily.
fn is_to_send(result: Option<&Result<(), QueueError>>) -> bool {
    match result {
        None => true,
        Some(Ok(())) => false,
        Some(Err(error)) => error.is_temporary,
    }
}

/// The messages at these positions in requests of at most [`MAX_BATCH_ENTRIES`] with at most [`MAX_BATCH_BYTES`] in total.
fn batches<'a>(positions: &[usize], bodies: &[&'a str]) -> Vec<Vec<BatchMessage<'a>>> {
    let mut batches: Vec<Vec<BatchMessage<'_>>> = Vec::new();
    let mut bytes = 0;
    for position in positions.iter().copied() {
        let Some(body) = bodies.get(position).copied() else { continue };
        let message = BatchMessage { position, body };
        bytes += body.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH_ENTRIES && bytes <= MAX_BATCH_BYTES => {
                batch.push(message);
            }
            _ => {
                batches.push(vec![message]);
                bytes = body.len();
            }
        }
    }
    batches
}

/// A message in a request.
struct BatchMessage<'a> {
    /// Its position among all messages, which is its id in the request.
    position: usize,
    body: &'a str,
}

/// Seconds rounded up, so that no message arrives early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// The failure of a message, with queue, reason and remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct QueueError {
    text: String,
    is_ambiguous: bool,
    /// `true` if the request certainly failed and may succeed soon. Only such requests are retried.
    is_temporary: bool,
}

impl QueueError {
    /// The message is not in the queue.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_ambiguous: false, is_temporary: false }
    }

    /// The message may be in the queue.
    pub fn ambiguous(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_ambiguous: true, is_temporary: false }
    }

    /// The message is not in the queue, and may be accepted soon.
    fn temporary(text: String) -> Self {
        Self { text, is_ambiguous: false, is_temporary: true }
    }

    /// Returns `true` if the message may be in the queue, so that handling it otherwise may duplicate it.
    pub fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }
}
