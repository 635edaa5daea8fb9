//! The local Lambda's queue as a queue of the forwarder, without a network.

use lambda_otlp_forwarder::{Message, Queue, QueueError};
use local_lambda::queue::{BatchResult, MAX_BATCH, Refusal};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A queue in memory, reached through `A`.
#[derive(Clone, Debug)]
pub(crate) struct MemoryQueue<A> {
    pub(crate) queue: local_lambda::queue::Queue,
    pub(crate) asks: A,
}

/// The way of a request to the queue.
pub(crate) trait Asks: Send + Sync {
    fn send(
        &self,
        queue: &local_lambda::queue::Queue,
        batch: &[String],
        delay: Duration,
    ) -> impl Future<Output = BatchResult> + Send;

    /// Hides a message. Status 0 stands for a missing answer.
    fn postpone(
        &self,
        queue: &local_lambda::queue::Queue,
        receipt_handle: &str,
        delay: Duration,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

impl<A> MemoryQueue<A> {
    fn name(&self) -> String {
        self.queue.name().to_owned()
    }

    fn refused(&self, Refusal { code, message, .. }: Refusal) -> QueueError {
        let queue = self.name();
        QueueError::new(format!("queue {queue} refused with {code}: {message}"), false)
    }

    fn no_answer(&self) -> QueueError {
        QueueError::new(format!("queue {} did not answer: scripted", self.name()), true)
    }

    fn late(&self) -> QueueError {
        let text = format!("queue {} was not called: the deadline has passed", self.name());
        QueueError::new(text, false)
    }
}

impl<A: Asks> Queue for MemoryQueue<A> {
    async fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let bodies: Vec<String> = messages.into_iter().map(|message| message.body).collect();
        let mut results = Vec::new();
        for batch in bodies.chunks(MAX_BATCH) {
            if Instant::now() >= deadline {
                results.extend(batch.iter().map(|_| Err(self.late())));
                continue;
            }
            match self.asks.send(&self.queue, batch, delay).await {
                BatchResult::Answered(answers) => {
                    let is_short = answers.len() < batch.len();
                    results.extend(
                        answers.into_iter().map(|answer| {
                            answer.map(drop).map_err(|refusal| self.refused(refusal))
                        }),
                    );
                    // Results have no names: a later one would count for a message without an answer.
                    if is_short {
                        return results;
                    }
                }
                BatchResult::Refused(refusal) => {
                    results.extend(batch.iter().map(|_| Err(self.refused(refusal.clone()))));
                }
                BatchResult::NoAnswer => {
                    results.extend(batch.iter().map(|_| Err(self.no_answer())));
                }
                BatchResult::Hangs => {
                    sleep_until(deadline).await;
                    results.extend(batch.iter().map(|_| Err(self.no_answer())));
                }
            }
        }
        results
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        if Instant::now() >= deadline {
            return Err(self.late());
        }
        match self.asks.postpone(&self.queue, receipt_handle, delay).await {
            Err(refusal) if refusal.status == 0 => {
                sleep_until(deadline).await;
                Err(self.no_answer())
            }
            result => result.map_err(|refusal| self.refused(refusal)),
        }
    }
}

/// A way without delay and observer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtOnce;

impl Asks for AtOnce {
    async fn send(
        &self,
        queue: &local_lambda::queue::Queue,
        batch: &[String],
        delay: Duration,
    ) -> BatchResult {
        queue.send_batch(batch, delay)
    }

    async fn postpone(
        &self,
        queue: &local_lambda::queue::Queue,
        receipt_handle: &str,
        delay: Duration,
    ) -> Result<(), Refusal> {
        queue.postpone(receipt_handle, delay)
    }
}
