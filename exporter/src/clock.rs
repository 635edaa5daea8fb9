//! Times of OTLP.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in nanoseconds; 0 before 1970.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
