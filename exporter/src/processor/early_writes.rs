//! Bounds the writes before the end of an invocation.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The most early writes in a row. A second adds as many.
const MOST: u32 = 10;
const INTERVAL: Duration = Duration::from_millis(100);

/// The early writes that are left.
#[derive(Debug)]
pub(super) struct EarlyWrites(Mutex<Left>);

#[derive(Debug)]
struct Left {
    writes: u32,
    /// The time at which there were so many.
    counted_at: SystemTime,
}

impl Default for EarlyWrites {
    fn default() -> Self {
        Self(Mutex::new(Left { writes: MOST, counted_at: SystemTime::UNIX_EPOCH }))
    }
}

impl EarlyWrites {
    /// Takes a write. Returns `false` if none is left: then the item is written with the next one, or with the next invocation.
    pub(super) fn take(&self, now: SystemTime) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock may have been set back.
        let since = now.duration_since(left.counted_at).unwrap_or(INTERVAL);
        let intervals = since.as_millis() / INTERVAL.as_millis();
        if intervals > 0 {
            let added = u32::try_from(intervals).unwrap_or(MOST);
            left.writes = left.writes.saturating_add(added).min(MOST);
            left.counted_at = now;
        }
        let is_left = left.writes > 0;
        left.writes = left.writes.saturating_sub(1);
        is_left
    }
}
