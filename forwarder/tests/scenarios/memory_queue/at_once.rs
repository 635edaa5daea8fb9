//! A queue without delay and observer.

use super::Asks;
use simulator::queue::{BatchResult, Queue, Refusal};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct AtOnce;

impl Asks for AtOnce {
    async fn send(&self, queue: &Queue, batch: &[String], delay: Duration) -> BatchResult {
        queue.send_batch(batch, delay)
    }

    async fn postpone(
        &self,
        queue: &Queue,
        receipt_handle: &str,
        delay: Duration,
    ) -> Result<(), Refusal> {
        queue.postpone(receipt_handle, delay)
    }
}
