//! Bounds the writes before the end of an invocation.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The most early writes in a row. A second adds as many.
const MAX_WRITES: u32 = 10;
/// The time that adds a write.
const INTERVAL: Duration = Duration::from_millis(100);

/// The early writes that are left.
#[derive(Debug)]
pub(super) struct EarlyWrites(Mutex<WritesLeft>);

#[derive(Debug)]
struct WritesLeft {
    number: u32,
    /// The time at which so many were left.
    counted_at: SystemTime,
}

impl Default for EarlyWrites {
    fn default() -> Self {
        Self(Mutex::new(WritesLeft { number: MAX_WRITES, counted_at: SystemTime::UNIX_EPOCH }))
    }
}

impl EarlyWrites {
    /// Takes a write. Returns `false` if none is left: then the item is written with the next one, or with the next invocation.
    pub(super) fn try_take(&self, now: SystemTime) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock may have been set back.
        let since = now.duration_since(left.counted_at).unwrap_or(INTERVAL);
        let intervals = since.as_millis() / INTERVAL.as_millis();
        if intervals > 0 {
            let added = u32::try_from(intervals).unwrap_or(MAX_WRITES);
            left.number = left.number.saturating_add(added).min(MAX_WRITES);
            left.counted_at = now;
        }
        let is_any_left = left.number > 0;
        left.number = left.number.saturating_sub(1);
        is_any_left
    }
}
