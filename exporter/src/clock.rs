//! The exporter's source of time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall-clock time; tests replace it.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The SDK's clock, so that our times and those of spans are comparable.
    pub(crate) fn system() -> Self {
        Self(Arc::new(opentelemetry::time::now))
    }

    #[cfg(test)]
    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

/// Unix time in nanoseconds; 0 before 1970.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
