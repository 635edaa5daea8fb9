//! Time by two clocks: a monotonic clock may stop while an environment is frozen, and the wall clock may be set back.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// An instant by both clocks, which includes the time an environment is frozen.
#[derive(Clone, Copy, Debug)]
pub struct FreezeAwareInstant {
    monotonic: Instant,
    wall: SystemTime,
}

impl FreezeAwareInstant {
    /// The current time: of [`tokio::time`], and `wall` from the wall clock.
    pub fn now(wall: SystemTime) -> Self {
        Self { monotonic: Instant::now(), wall }
    }

    /// Returns `true` if `time` has passed until `now` by the faster clock. A wall clock that was set back is ignored.
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
    async fn a_duration_is_over_when_either_clock_has_passed_it() {
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
