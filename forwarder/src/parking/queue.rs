//! What is asked of a queue.

use super::message::Message;
use aws::QueueError;
use std::time::Duration;
use tokio::time::Instant;

/// A queue that parked messages are sent to.
pub trait Queue: Send + Sync {
    /// Sends the messages, each to be seen by nobody for `delay` (at most 15 minutes). One result for each message, in
    /// order; over by `deadline`.
    fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = Vec<Result<(), QueueError>>> + Send;

    /// Lets a message that was received come again after `delay` (at most 12 hours after it was received) instead of at
    /// the end of the queue's own visibility timeout.
    fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

impl<Q: Queue> Queue for std::sync::Arc<Q> {
    async fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        Q::send(self, messages, delay, deadline).await
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        Q::postpone(self, receipt_handle, delay, deadline).await
    }
}
