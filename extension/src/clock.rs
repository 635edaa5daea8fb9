//! The wall clock, which goes on while the environment is frozen.

use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the one place where the binary reads the clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns the Unix time in nanoseconds, or 0 before 1970.
pub(crate) fn unix_nanos() -> u64 {
    let since_epoch = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the Unix time in milliseconds, the unit of Lambda's deadlines.
pub(crate) fn unix_millis() -> u64 {
    unix_nanos() / 1_000_000
}
