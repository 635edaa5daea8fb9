//! What a delivery has to know of the invocation in which it happens.

use tokio::time::Instant;

/// What a delivery has to know of its invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryContext {
    /// The time of the invocation.
    pub(crate) observed_unix_nano: u64,
    /// When that was read.
    pub(crate) observed_at: Instant,
    /// Whether there is a queue for what is not taken: without one it is no use to leave a destination
    /// alone, since whoever invoked the forwarder tries again.
    pub(crate) has_retry_queue: bool,
    /// How often this was delivered, this time included.
    pub(crate) attempt: u32,
}

impl DeliveryContext {
    /// The time: an invocation may take longer than what a record has left of the ingest window.
    pub(super) fn now_unix_nano(&self) -> u64 {
        let since = u64::try_from(self.observed_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.observed_unix_nano.saturating_add(since)
    }
}
