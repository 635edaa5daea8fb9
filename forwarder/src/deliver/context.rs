//! Properties of the invocation that a delivery needs.

use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryContext {
    /// Wall-clock time at the start of the invocation.
    pub(crate) observed_unix_nano: u64,
    pub(crate) observed_at: Instant,
    /// `true` if there is a retry queue. Without one, a failing destination is tried each time, because Lambda retries anyway.
    pub(crate) has_retry_queue: bool,
    pub(crate) attempt: u32,
}

impl DeliveryContext {
    /// The current time. During a long invocation, a record may leave the ingest window.
    pub(super) fn now_unix_nano(&self) -> u64 {
        let since = u64::try_from(self.observed_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.observed_unix_nano.saturating_add(since)
    }
}
