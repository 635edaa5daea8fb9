//! The local Lambda's queue as a queue of the forwarder, without sockets.

use crate::no_loss_property::Network;
use lambda_otlp_forwarder::{Message, Queue, QueueError};
use local_lambda::queue::{BatchResult, MAX_BATCH, MAX_MESSAGE_BYTES, PostponeResult, Refusal};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

#[derive(Clone)]
pub(crate) struct MemoryQueue {
    pub(crate) queue: local_lambda::queue::Queue,
    /// The network on the way to it, which delays and fails.
    pub(crate) network: Option<Network>,
}

fn refused(refusal: &Refusal) -> QueueError {
    QueueError::refused(format!("refused with {}: {}", refusal.code, refusal.message))
}

fn no_answer() -> QueueError {
    QueueError::ambiguous("no answer")
}

fn late() -> QueueError {
    QueueError::refused("not called: the deadline has passed")
}

/// The number of bodies that fit into a request of SQS, as in `aws`.
fn batch_of(bodies: &[String]) -> usize {
    let mut bytes = 0;
    let fits = bodies.iter().take(MAX_BATCH).take_while(|body| {
        bytes += body.len();
        bytes <= MAX_MESSAGE_BYTES
    });
    fits.count().max(1)
}

/// Notes the answers in their messages, of which the last ones may have none.
fn note(messages: Vec<&mut Message>, answers: Vec<Result<(), QueueError>>) {
    for (message, answer) in messages.into_iter().zip(answers) {
        message.answer = Some(answer);
    }
}

impl Queue for MemoryQueue {
    async fn send(&self, messages: Vec<&mut Message>, delay: Duration, deadline: Instant) {
        let mut rest = messages;
        while !rest.is_empty() {
            let bodies: Vec<String> = rest.iter().map(|message| message.body.clone()).collect();
            let others = rest.split_off(batch_of(&bodies));
            let batch = bodies.get(..rest.len()).unwrap_or_default();
            let messages = std::mem::replace(&mut rest, others);
            let all = |error| vec![Err(error); batch.len()];
            if Instant::now() >= deadline {
                note(messages, all(late()));
                continue;
            }
            let sent = match &self.network {
                Some(network) => network.send(batch, delay).await,
                None => self.queue.send_batch(batch, delay),
            };
            if sent == BatchResult::Hangs {
                sleep_until(deadline).await;
            }
            let answers = match sent {
                BatchResult::Answered(answers) => {
                    let one =
                        |answer: Result<_, Refusal>| answer.map(drop).map_err(|it| refused(&it));
                    answers.into_iter().map(one).collect()
                }
                BatchResult::Refused(refusal) => all(refused(&refusal)),
                BatchResult::NoAnswer | BatchResult::Hangs => all(no_answer()),
            };
            let is_short = answers.len() < batch.len();
            note(messages, answers);
            if is_short {
                break;
            }
        }
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        if Instant::now() >= deadline {
            return Err(late());
        }
        let postponed = match &self.network {
            Some(network) => network.postpone(receipt_handle, delay).await,
            None => self.queue.postpone(receipt_handle, delay),
        };
        match postponed {
            PostponeResult::Postponed => Ok(()),
            PostponeResult::Refused(refusal) => Err(refused(&refusal)),
            PostponeResult::NoAnswer | PostponeResult::Hangs => {
                sleep_until(deadline).await;
                Err(no_answer())
            }
        }
    }
}
