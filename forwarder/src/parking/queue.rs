//! The interface of a queue.

use super::message::Message;
use aws::QueueError;
use std::time::Duration;
use tokio::time::Instant;

pub trait Queue: Send + Sync {
    /// Sends messages, hidden for `delay` (at most 15 minutes), before `deadline`. Returns one result for each message, in order.
    fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> impl Future<Output = Vec<Result<(), QueueError>>> + Send;

    /// Hides a received message for `delay` (at most 12 hours after the receipt) in place of the queue's visibility timeout.
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
