//! The queue on Amazon SQS.
//!
//! The client is built at the first message: most invocations park nothing, and start-up should not pay for it. The
//! SDK's own repetition is off: it repeats a request whose answer did not come, and the message would be in the queue
//! twice with nobody knowing. Repeated is only what was certainly refused.

mod answer;
mod target;

pub use target::{DEAD_LETTER_QUEUE_URL, QUEUES, RETRY_QUEUE_URL};

use super::{Message, Queue, QueueError};
use answer::{Repeat, of_entry, of_error};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;
use target::Target;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Largest message, and largest sum of the messages of one request (Amazon SQS Developer Guide, "Message quotas").
const MOST_BYTES: usize = 1024 * 1024;
/// Most messages of one request.
const MOST_ENTRIES: usize = 10;
/// Longest delay of a message that is sent.
const LONGEST_DELAY: Duration = Duration::from_mins(15);
/// SQS hides a message for at most 12 hours after it was received, which may be a whole invocation ago.
const LONGEST_POSTPONEMENT: Duration = Duration::from_mins(12 * 60 - 15);
/// Most repetitions of what the queue refused for now.
const MOST_REPETITIONS: u32 = 2;
/// Pause before the first repetition; doubled for the next.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A queue in the same region answers the connection in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A standard queue of SQS.
#[derive(Debug)]
pub struct SqsQueue {
    target: Target,
    client: OnceLock<Client>,
}

impl SqsQueue {
    /// The queue whose URL the variable `name` gives, if it is set. What is wrong with it, or missing beside it, is noted.
    pub fn read(reader: &mut settings::Reader<'_>, name: &str) -> Option<Self> {
        let target = Target::read(reader, name)?;
        Some(Self { target, client: OnceLock::new() })
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let Target {
                endpoint, region, access_key_id, secret_access_key, session_token, ..
            } = &self.target;
            let token = session_token.as_ref().map(|token| token.expose().to_owned());
            let secret = secret_access_key.expose();
            let credentials = Credentials::new(access_key_id, secret, token, None, "environment");
            // Connections are not kept: one that did not survive a freeze of the environment fails with the request
            // half sent, and then nobody knows what became of the messages.
            let http_client = aws_smithy_http_client::Builder::new()
                .pool_idle_timeout(Duration::ZERO)
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https();
            let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
            let config = aws_sdk_sqs::Config::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::new(region.clone()))
                .endpoint_url(endpoint)
                .credentials_provider(credentials)
                .http_client(http_client)
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts)
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .build();
            Client::from_conf(config)
        })
    }

    fn not_asked(&self) -> QueueError {
        QueueError::Deadline { queue: self.target.name.clone() }
    }

    fn no_answer_by_deadline(&self) -> QueueError {
        QueueError::NoAnswer {
            queue: self.target.name.clone(),
            text: "the deadline came first".to_owned(),
            ambiguous: true,
        }
    }

    /// Sends one request; results in order of `batch`.
    async fn send_batch(
        &self,
        batch: &[&Message],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), (QueueError, Repeat)>> {
        let all = |error: &QueueError, repeat| {
            batch.iter().map(|_| Err((error.clone(), repeat))).collect::<Vec<_>>()
        };
        let delay_seconds = whole_seconds(delay.min(LONGEST_DELAY));
        let entries = batch.iter().enumerate().map(|(position, message)| {
            SendMessageBatchRequestEntry::builder()
                .id(position.to_string())
                .message_body(&message.body)
                .set_delay_seconds((delay_seconds > 0).then_some(delay_seconds))
                .build()
        });
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            // Id and body are given: this cannot happen.
            Err(error) => {
                return all(
                    &self.target.refused("InvalidEntry", &error.to_string(), ""),
                    Repeat::No,
                );
            }
        };
        let request = self.client().send_message_batch().queue_url(&self.target.url);
        let request = request.set_entries(Some(entries)).send();
        let output = match timeout_at(deadline, request).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                let (error, repeat) = of_error(&self.target, "SendMessage", &error);
                return all(&error, repeat);
            }
            Err(_) => return all(&self.no_answer_by_deadline(), Repeat::No),
        };
        let result_of = |position: usize| {
            let id = position.to_string();
            if output.successful().iter().any(|entry| entry.id() == id) {
                return Ok(());
            }
            let failed = output.failed().iter().find(|entry| entry.id() == id);
            Err(of_entry(&self.target, failed))
        };
        (0..batch.len()).map(result_of).collect()
    }
}

impl Queue for SqsQueue {
    async fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let mut results: Vec<Result<(), QueueError>> =
            messages.iter().map(|message| self.fits(message)).collect();
        let mut waiting: Vec<usize> =
            (0..).zip(&results).filter(|(_, fits)| fits.is_ok()).map(|(at, _)| at).collect();
        for position in &waiting {
            set(&mut results, *position, Err(self.not_asked()));
        }
        let mut pause = FIRST_PAUSE;
        for repetition in 0..=MOST_REPETITIONS {
            let mut repeated = Vec::new();
            let sizes: Vec<usize> =
                waiting.iter().filter_map(|at| Some(messages.get(*at)?.body.len())).collect();
            for range in batches(&sizes) {
                if Instant::now() >= deadline {
                    return results;
                }
                let positions = waiting.get(range).unwrap_or_default();
                let batch: Vec<&Message> =
                    positions.iter().filter_map(|at| messages.get(*at)).collect();
                let answers = self.send_batch(&batch, delay, deadline).await;
                for (position, answer) in positions.iter().zip(answers) {
                    if matches!(answer, Err((_, Repeat::Yes))) {
                        repeated.push(*position);
                    }
                    set(&mut results, *position, answer.map_err(|(error, _)| error));
                }
            }
            let next = Instant::now() + pause;
            if repeated.is_empty() || repetition == MOST_REPETITIONS || next >= deadline {
                break;
            }
            sleep_until(next).await;
            pause *= 2;
            waiting = repeated;
        }
        results
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        let seconds = whole_seconds(delay.min(LONGEST_POSTPONEMENT));
        let mut pause = FIRST_PAUSE;
        let mut last = self.not_asked();
        for _ in 0..=MOST_REPETITIONS {
            if Instant::now() >= deadline {
                break;
            }
            let request = self.client().change_message_visibility();
            let request = request.queue_url(&self.target.url).receipt_handle(receipt_handle);
            let request = request.visibility_timeout(seconds).send();
            let error = match timeout_at(deadline, request).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => return Err(self.no_answer_by_deadline()),
            };
            let (error, repeat) = of_error(&self.target, "ChangeMessageVisibility", &error);
            last = error;
            let next = Instant::now() + pause;
            if repeat == Repeat::No || next >= deadline {
                break;
            }
            sleep_until(next).await;
            pause *= 2;
        }
        Err(last)
    }
}

impl SqsQueue {
    fn fits(&self, message: &Message) -> Result<(), QueueError> {
        let bytes = message.body.len();
        if bytes <= MOST_BYTES {
            return Ok(());
        }
        Err(QueueError::TooLarge { queue: self.target.name.clone(), bytes, most: MOST_BYTES })
    }
}

fn set(results: &mut [Result<(), QueueError>], position: usize, result: Result<(), QueueError>) {
    if let Some(slot) = results.get_mut(position) {
        *slot = result;
    }
}

/// Neighbours that go into one request: at most [`MOST_ENTRIES`] of together at most [`MOST_BYTES`].
fn batches(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (position, size) in sizes.iter().enumerate() {
        let is_full = position - start == MOST_ENTRIES || bytes + size > MOST_BYTES;
        if is_full && position > start {
            batches.push(start..position);
            (start, bytes) = (position, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        batches.push(start..sizes.len());
    }
    batches
}

/// Rounded up, so that nothing comes too early.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_both_limits() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let batches = batches(sizes);
            let lengths: Vec<usize> = batches.iter().map(ExactSizeIterator::len).collect();
            assert_eq!(lengths, expected, "{sizes:?}");
            assert!(batches.into_iter().flatten().eq(0..sizes.len()));
        };
        check(&[], &[]);
        check(&[1], &[1]);
        check(&[1; 10], &[10]);
        check(&[1; 21], &[10, 10, 1]);
        check(&[MOST_BYTES, 1, MOST_BYTES - 1, 1], &[1, 2, 1]);
        check(&[MOST_BYTES + 1, 5], &[1, 1]);
        check(&[MOST_BYTES / 2, MOST_BYTES / 2, 1], &[2, 1]);
    }

    #[test]
    fn a_part_of_a_second_is_a_whole_one() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::MAX), i32::MAX);
        assert!(LONGEST_POSTPONEMENT < Duration::from_hours(12));
    }
}
