//! SQS as a queue for parked messages.

use super::message::Message;
use super::queue::Queue;
use aws::{QueueError, SqsQueue};
use std::time::Duration;
use tokio::time::Instant;

impl Queue for SqsQueue {
    async fn send(
        &self,
        messages: Vec<Message>,
        delay: Duration,
        deadline: Instant,
    ) -> Vec<Result<(), QueueError>> {
        let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
        self.send_messages(&bodies, delay, deadline).await
    }

    async fn postpone(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        self.change_visibility(receipt_handle, delay, deadline).await
    }
}
