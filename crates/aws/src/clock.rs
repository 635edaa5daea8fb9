//! Time by two clocks: a monotonic clock may stand still while an execution environment is frozen, and the wall clock may
//! be set back.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// An instant by both clocks, so that time in which the environment is frozen counts.
#[derive(Clone, Copy, Debug)]
pub struct FreezeAwareInstant {
    monotonic: Instant,
    wall: SystemTime,
}

impl FreezeAwareInstant {
    /// The present: that of [`tokio::time`], and `wall`, which the wall clock says.
    pub fn now(wall: SystemTime) -> Self {
        Self { monotonic: Instant::now(), wall }
    }

    /// Whether `time` has passed until `now` by the clock that went further. A wall clock that was set back does not count.
    pub fn is_over(&self, time: Duration, now: Self) -> bool {
        let by_wall = now.wall.duration_since(self.wall).unwrap_or_default();
        now.monotonic.saturating_duration_since(self.monotonic).max(by_wall) >= time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[tokio::test(start_paused = true)]
    async fn the_clock_that_went_further_counts() {
        let noon = UNIX_EPOCH + Duration::from_hours(12);
        let then = FreezeAwareInstant::now(noon);
        let minute = Duration::from_mins(1);
        assert!(!then.is_over(minute, FreezeAwareInstant::now(noon + Duration::from_secs(59))));
        assert!(then.is_over(minute, FreezeAwareInstant::now(noon + minute)), "a freeze");
        tokio::time::advance(minute).await;
        assert!(
            then.is_over(minute, FreezeAwareInstant::now(noon - minute)),
            "a clock that was set back"
        );
    }
}
