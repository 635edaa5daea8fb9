//! The queue on Amazon SQS, asked in AWS JSON 1.0.
//!
//! The client is built at the first message: most invocations park nothing, and start-up should not pay for it. A request
//! whose answer did not come is not repeated: the message would be in the queue twice with nobody knowing. Repeated is only
//! what was certainly refused.

mod answer;
mod target;

pub use target::QUEUES;
pub(crate) use target::{DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL};

use super::{Message, Queue, QueueError};
use crate::lambda::handler::wall_clock_now;
use answer::{BatchAnswer, Repeat, of_answer, of_entry, of_no_answer};
use secrets::signed_request::{Answer, AwsClient, SignedRequest};
use serde::Serialize;
use std::ops::Range;
use std::time::Duration;
use target::Target;
use tokio::time::{Instant, sleep_until};

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
/// A queue that takes a connection and says nothing must not hold an invocation to its end.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(5);
/// Pause before the first repetition; doubled for the next.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Ten entries of some 200 bytes, or of as many with the words of a refusal.
const MOST_ANSWER_BYTES: usize = 256 * 1024;

/// Amazon SQS API Reference, "SendMessageBatch".
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

/// Amazon SQS API Reference, "ChangeMessageVisibility".
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeMessageVisibility<'a> {
    queue_url: &'a str,
    receipt_handle: &'a str,
    visibility_timeout: u64,
}

/// A standard queue of SQS.
#[derive(Debug)]
pub struct SqsQueue {
    target: Target,
    client: AwsClient,
}

impl SqsQueue {
    /// The queue whose URL the variable `name` gives, if it is set. What is wrong with it, or missing beside it, is noted.
    pub fn read(reader: &mut settings::Reader<'_>, name: &str) -> Option<Self> {
        let target = Target::read(reader, name)?;
        let proxy = settings::Proxy::read(reader);
        Some(Self { target, client: AwsClient::new(wall_clock_now, proxy) })
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// Asks for `action`; the answer is one of success.
    async fn ask(
        &self,
        action: &str,
        arguments: &impl Serialize,
        deadline: Instant,
    ) -> Result<Answer, (QueueError, Repeat)> {
        // Text and numbers: this cannot fail.
        let body = serde_json::to_vec(arguments).map_err(|error| {
            (self.target.refused("InvalidRequest", &error.to_string(), ""), Repeat::No)
        })?;
        let request = SignedRequest {
            credentials: &self.target.credentials,
            service: "sqs",
            region: &self.target.region,
            endpoint: &self.target.endpoint,
            content_type: "application/x-amz-json-1.0",
            target: &format!("AmazonSQS.{action}"),
            body,
            deadline: deadline.min(Instant::now() + LONGEST_ATTEMPT),
            most_answer_bytes: MOST_ANSWER_BYTES,
        };
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| of_no_answer(&self.target, &error))?;
        of_answer(&self.target, action, answer)
    }

    fn not_asked(&self) -> QueueError {
        QueueError::Deadline { queue: self.target.name.clone() }
    }

    /// Sends one request; results in order of `batch`.
    async fn send_batch(
        &self,
        batch: &[&Message],
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), (QueueError, Repeat)>> {
        let all = |(error, repeat): (QueueError, Repeat)| {
            batch.iter().map(|_| Err((error.clone(), repeat))).collect::<Vec<_>>()
        };
        let delay_seconds = whole_seconds(delay.min(LONGEST_DELAY));
        let entries = batch.iter().enumerate().map(|(position, message)| Entry {
            id: position.to_string(),
            message_body: &message.body,
            delay_seconds: (delay_seconds > 0).then_some(delay_seconds),
        });
        let request = SendMessageBatch { queue_url: &self.target.url, entries: entries.collect() };
        let answer = match self.ask("SendMessageBatch", &request, deadline).await {
            Ok(answer) => answer,
            Err(error) => return all(error),
        };
        let answer = match BatchAnswer::read(&self.target, &answer) {
            Ok(answer) => answer,
            Err(error) => return all(error),
        };
        let result_of = |position: usize| {
            let id = position.to_string();
            if answer.has_taken(&id) {
                return Ok(());
            }
            Err(of_entry(&self.target, answer.refused(&id)))
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
        let request = ChangeMessageVisibility {
            queue_url: &self.target.url,
            receipt_handle,
            visibility_timeout: whole_seconds(delay.min(LONGEST_POSTPONEMENT)),
        };
        let mut pause = FIRST_PAUSE;
        let mut last = self.not_asked();
        for _ in 0..=MOST_REPETITIONS {
            if Instant::now() >= deadline {
                break;
            }
            let asked = self.ask("ChangeMessageVisibility", &request, deadline).await;
            let Err((error, repeat)) = asked else { return Ok(()) };
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
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
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
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
        assert!(LONGEST_POSTPONEMENT < Duration::from_hours(12));
    }
}
