//! Converts the SDK's data to OTLP lines on the output, within bounded time and with counted losses.

pub(crate) mod exporters;
pub(crate) mod line;
pub(crate) mod losses;
mod otlp;
pub(crate) mod write_timeout;

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in nanoseconds, OTLP's time; 0 before 1970.
fn unix_nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
