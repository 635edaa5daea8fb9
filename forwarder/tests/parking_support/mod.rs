//! The simulator's queue as one that the forwarder parks in, without a network.

use lambda_otlp_forwarder::parking::{Message, Queue, QueueError};
use simulator::queue::{Batch, MAX_BATCH, Refusal};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A queue in memory; what it answers is scripted at the simulator's queue.
#[derive(Clone, Debug)]
pub(crate) struct MemoryQueue(pub(crate) simulator::queue::Queue);

impl MemoryQueue {
    fn refused(&self, refusal: Refusal) -> QueueError {
        QueueError::Refused {
            queue: self.0.name().to_owned(),
            code: refusal.code,
            text: refusal.message,
            hint: String::new(),
        }
    }

    fn no_answer(&self) -> QueueError {
        let queue = self.0.name().to_owned();
        QueueError::NoAnswer { queue, text: "scripted".to_owned(), ambiguous: true }
    }
}

impl Queue for MemoryQueue {
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
                let queue = self.0.name().to_owned();
                results.extend(
                    batch.iter().map(|_| Err(QueueError::Deadline { queue: queue.clone() })),
                );
                continue;
            }
            match self.0.send_batch(batch, delay) {
                Batch::Answered(answers) => results.extend(
                    answers
                        .into_iter()
                        .map(|answer| answer.map(drop).map_err(|refusal| self.refused(refusal))),
                ),
                Batch::Refused(refusal) => {
                    results.extend(batch.iter().map(|_| Err(self.refused(refusal.clone()))));
                }
                Batch::NoAnswer => results.extend(batch.iter().map(|_| Err(self.no_answer()))),
                Batch::Hangs => {
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
        match self.0.postpone(receipt_handle, delay) {
            Err(refusal) if refusal.status == 0 => {
                sleep_until(deadline).await;
                Err(self.no_answer())
            }
            result => result.map_err(|refusal| self.refused(refusal)),
        }
    }
}
