//! Reads the wall clock, which goes on while the environment is frozen.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present.
#[expect(clippy::disallowed_methods, reason = "the one place where the binary reads the clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Unix time in nanoseconds; 0 before 1970.
pub(crate) fn unix_nanos() -> u64 {
    let since_epoch = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Unix time in milliseconds, as Lambda gives its deadlines.
pub(crate) fn unix_millis() -> u64 {
    unix_nanos() / 1_000_000
}
