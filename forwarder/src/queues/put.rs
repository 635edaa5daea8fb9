//! Puts undelivered telemetry into the retry queue or the dead-letter queue. What the queue does not accept is returned to Lambda.

use crate::queues::{MAX_MESSAGE_BYTES, Queue, QueuedTelemetry};
use crate::report::{KeptIn, Undelivered};
use std::time::Duration;
use tokio::time::Instant;

/// The queues of a stack. Without a queue, its telemetry is returned to Lambda.
#[derive(Clone, Debug)]
pub struct Queues<Q> {
    /// Receives telemetry to send again.
    pub retry: Option<Q>,
    /// Receives telemetry that is not retried, with its reason.
    pub dead_letters: Option<Q>,
}

impl<Q> Default for Queues<Q> {
    fn default() -> Self {
        Self { retry: None, dead_letters: None }
    }
}

/// Puts telemetry into its queues, and returns it with its place. Messages of the retry queue are delayed by `delay`.
pub(crate) async fn enqueue<Q: Queue>(
    queues: &Queues<Q>,
    undelivered: Vec<QueuedTelemetry>,
    delay: Duration,
    deadline: Instant,
) -> impl Iterator<Item = Undelivered> {
    let (letters, others): (Vec<_>, Vec<_>) =
        undelivered.into_iter().partition(QueuedTelemetry::is_dead_letter);
    let dead_letters = queues.dead_letters.as_ref();
    let (retried, dead_lettered) = tokio::join!(
        put(queues.retry.as_ref(), others, KeptIn::RetryQueue, delay, deadline),
        put(dead_letters, letters, KeptIn::DeadLetterQueue, Duration::ZERO, deadline),
    );
    retried.into_iter().chain(dead_lettered)
}

/// Puts telemetry into one queue, and returns it with its place. A message without an answer counts as refused.
async fn put<Q: Queue>(
    queue: Option<&Q>,
    undelivered: Vec<QueuedTelemetry>,
    if_accepted: KeptIn,
    delay: Duration,
    deadline: Instant,
) -> Vec<Undelivered> {
    let Some(queue) = queue else {
        return undelivered.iter().map(QueuedTelemetry::described).collect();
    };
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for queued in undelivered {
        let described = queued.described();
        for message in queued.into_messages(MAX_MESSAGE_BYTES) {
            parts.push(Undelivered { items: message.items, ..described.clone() });
            messages.push(message);
        }
    }
    if messages.is_empty() {
        return Vec::new();
    }
    let mut sent = queue.send(messages, delay, deadline).await.into_iter();
    let placed = parts.into_iter().map(|part| {
        let kept_in = match sent.next() {
            Some(Ok(())) => if_accepted.clone(),
            Some(Err(error)) => KeptIn::Returned(Some(error)),
            None => KeptIn::Returned(None),
        };
        Undelivered { kept_in, ..part }
    });
    placed.collect()
}
