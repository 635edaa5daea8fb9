//! An Amazon SQS queue by AWS JSON 1.0.
//!
//! The first message creates the HTTP client, because most invocations send none. A request without a response is not retried,
//! because the message could be in the queue twice. Only certain refusals are retried.

mod address;
mod response;

use crate::client::{AwsClient, AwsResponse, SignedRequest};
use crate::credentials::CurrentCredentials;
use address::QueueAddress;
pub use address::region_of_host;
use response::{Repeat, SendBatchResponse, of_entry, of_no_response, of_response};
use serde::Serialize;
use settings::{Backoff, Proxy, Reader};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep_until};

/// Maximum size of a message, and of all messages of one request (Amazon SQS Developer Guide, "Message quotas").
const MAX_BATCH_BYTES: usize = 1024 * 1024;
const MAX_BATCH_ENTRIES: usize = 10;
const LONGEST_DELAY: Duration = Duration::from_mins(15);
/// Maximum visibility timeout: SQS hides a message for at most 12 hours after it was received, possibly a whole invocation ago.
const LONGEST_VISIBILITY_TIMEOUT: Duration = Duration::from_mins(12 * 60 - 15);
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
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
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

#[derive(Clone, Debug)]
pub struct SqsSettings {
    address: QueueAddress,
    proxy: Option<Proxy>,
}

impl SqsSettings {
    /// Reads the queue's URL from the variable `name`. Notes mistakes and missing settings.
    pub fn read(reader: &mut Reader<'_>, name: &str) -> Option<Self> {
        let address = QueueAddress::read(reader, name)?;
        Some(Self { address, proxy: Proxy::read(reader) })
    }

    /// Returns `true` if both URLs name the same queue, even with different hosts.
    pub fn is_same_queue(&self, other: &Self) -> bool {
        self.address.arn() == other.address.arn()
    }
}

#[derive(Debug)]
pub struct SqsQueue {
    address: QueueAddress,
    credentials: CurrentCredentials,
    client: AwsClient,
}

impl SqsQueue {
    /// Creates a queue from these settings; `clock` gives the signing time.
    pub fn new(settings: SqsSettings, clock: fn() -> SystemTime) -> Self {
        let client = AwsClient::new(clock, settings.proxy.clone());
        Self::by(settings, client)
    }

    /// Sends with this client, which knows the proxy.
    pub fn by(settings: SqsSettings, client: AwsClient) -> Self {
        let SqsSettings { address, proxy: _ } = settings;
        let credentials = CurrentCredentials::of(address.credentials.clone());
        Self { address, credentials, client }
    }

    pub fn name(&self) -> &str {
        &self.address.name
    }

    /// Sends messages with these bodies, hidden for `delay` (at most 15 minutes). Returns one result each, in order, by
    /// `deadline`.
    pub async fn send_messages(
        &self,
        bodies: &[&str],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let mut results: Vec<Sent> = bodies.iter().map(|body| Err(self.unsent(body))).collect();
        for retry in 0..=MAX_RETRIES {
            let is_waiting =
                |position: &usize| matches!(results.get(*position), Some(Err((_, Repeat::Yes))));
            let waiting: Vec<usize> = (0..bodies.len()).filter(is_waiting).collect();
            for batch in batches(&waiting, bodies) {
                if Instant::now() >= deadline {
                    return results.into_iter().map(without_repeat).collect();
                }
                let sent = self.send_batch(&batch, delay, deadline).await;
                for ((position, _), result) in batch.into_iter().zip(sent) {
                    if let Some(slot) = results.get_mut(position) {
                        *slot = result;
                    }
                }
            }
            let next = Instant::now() + BACKOFF.delay(retry, 1.0);
            let is_done = !results.iter().any(|result| matches!(result, Err((_, Repeat::Yes))));
            if is_done || retry == MAX_RETRIES || next >= deadline {
                break;
            }
            sleep_until(next).await;
        }
        results.into_iter().map(without_repeat).collect()
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
            queue_url: &self.address.url,
            receipt_handle,
            visibility_timeout: whole_seconds(timeout.min(LONGEST_VISIBILITY_TIMEOUT)),
        };
        let mut last = self.not_asked();
        for retry in 0..=MAX_RETRIES {
            if Instant::now() >= deadline {
                break;
            }
            let asked = self.ask("ChangeMessageVisibility", &request, deadline).await;
            let Err((error, repeat)) = asked else { return Ok(()) };
            last = error;
            let next = Instant::now() + BACKOFF.delay(retry, 1.0);
            if repeat == Repeat::No || next >= deadline {
                break;
            }
            sleep_until(next).await;
        }
        Err(last)
    }

    /// Sends a request for `action` and returns the successful response.
    async fn ask(
        &self,
        action: &str,
        arguments: &impl Serialize,
        deadline: Instant,
    ) -> Result<AwsResponse, (QueueError, Repeat)> {
        // Text and numbers: this cannot fail.
        let body = serde_json::to_vec(arguments).map_err(|error| {
            (self.address.refused("InvalidRequest", &error.to_string(), ""), Repeat::No)
        })?;
        let request = SignedRequest {
            credentials: &self.credentials,
            service: "sqs",
            region: &self.address.region,
            endpoint: &self.address.endpoint,
            content_type: "application/x-amz-json-1.0",
            target: &format!("AmazonSQS.{action}"),
            body,
            deadline: deadline.min(Instant::now() + LONGEST_ATTEMPT),
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let response = self.client.send(request).await;
        let response = response.map_err(|error| of_no_response(&self.address, &error))?;
        of_response(&self.address, action, response)
    }

    fn not_asked(&self) -> QueueError {
        QueueError::Deadline { queue: self.address.name.clone() }
    }

    /// Sends one request; results in order of `batch`.
    async fn send_batch(
        &self,
        batch: &[(usize, &str)],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Sent> {
        let all = |(error, repeat): (QueueError, Repeat)| {
            batch.iter().map(|_| Err((error.clone(), repeat))).collect::<Vec<_>>()
        };
        let delay_seconds = whole_seconds(delay.min(LONGEST_DELAY));
        let entries = batch.iter().map(|(position, body)| Entry {
            id: position.to_string(),
            message_body: body,
            delay_seconds: (delay_seconds > 0).then_some(delay_seconds),
        });
        let request = SendMessageBatch { queue_url: &self.address.url, entries: entries.collect() };
        let response = match self.ask("SendMessageBatch", &request, deadline).await {
            Ok(response) => response,
            Err(error) => return all(error),
        };
        let response = match SendBatchResponse::read(&self.address, &response) {
            Ok(response) => response,
            Err(error) => return all(error),
        };
        let result_of = |(position, _): &(usize, &str)| {
            let id = position.to_string();
            if response.has_taken(&id) {
                return Ok(());
            }
            Err(of_entry(&self.address, response.refused(&id)))
        };
        batch.iter().map(result_of).collect()
    }

    /// The error of a message that was not sent yet, or cannot be.
    fn unsent(&self, body: &str) -> (QueueError, Repeat) {
        let bytes = body.len();
        if bytes <= MAX_BATCH_BYTES {
            return (self.not_asked(), Repeat::Yes);
        }
        let queue = self.address.name.clone();
        (QueueError::TooLarge { queue, bytes, most: MAX_BATCH_BYTES }, Repeat::No)
    }
}

/// The result of a message, and whether it is sent again.
type Sent = Result<(), (QueueError, Repeat)>;

fn without_repeat(sent: Sent) -> Result<(), QueueError> {
    sent.map_err(|(error, _)| error)
}

/// The messages at these positions in requests of at most [`MAX_BATCH_ENTRIES`] with at most [`MAX_BATCH_BYTES`] in total.
fn batches<'a>(positions: &[usize], bodies: &[&'a str]) -> Vec<Vec<(usize, &'a str)>> {
    let mut batches: Vec<Vec<(usize, &str)>> = Vec::new();
    let mut bytes = 0;
    for (position, body) in positions.iter().filter_map(|at| Some((*at, *bodies.get(*at)?))) {
        bytes += body.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH_ENTRIES && bytes <= MAX_BATCH_BYTES => {
                batch.push((position, body));
            }
            _ => {
                batches.push(vec![(position, body)]);
                bytes = body.len();
            }
        }
    }
    batches
}

/// Seconds rounded up, so that no message arrives early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

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
