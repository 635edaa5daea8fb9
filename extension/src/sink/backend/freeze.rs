//! Detects that the environment was frozen, after which the backend may have closed its connections.

use std::time::Duration;
use tokio::time::Instant;

/// A silence of this length counts as a freeze if the environment may freeze.
const SILENCE_MS: u64 = 5_000;
/// The monotonic clock may stand still in a freeze. A larger lag behind the wall clock counts as a freeze.
const LARGEST_LAG: Duration = Duration::from_secs(1);

/// Both clocks at the loop's last activity.
#[derive(Clone, Copy, Debug)]
pub(super) struct FreezeDetector {
    wall_ms: u64,
    monotonic: Instant,
}

impl FreezeDetector {
    pub(super) fn new(wall_ms: u64, monotonic: Instant) -> Self {
        Self { wall_ms, monotonic }
    }

    /// Notes an activity of the loop. Returns `true` if the environment may have been frozen since the last one.
    pub(super) fn note_activity(
        &mut self,
        wall_ms: u64,
        monotonic: Instant,
        may_freeze: bool,
    ) -> bool {
        let wall_elapsed_ms = wall_ms.saturating_sub(self.wall_ms);
        let elapsed = monotonic.saturating_duration_since(self.monotonic);
        let lag = Duration::from_millis(wall_elapsed_ms).saturating_sub(elapsed);
        *self = Self::new(wall_ms, monotonic);
        lag > LARGEST_LAG || (may_freeze && wall_elapsed_ms > SILENCE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_is_detected_by_the_first_event_after_it() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut detector = FreezeDetector::new(0, begun);
        assert!(!detector.note_activity(4000, at(4000), true));
        // The monotonic clock stood still, or ran on.
        assert!(detector.note_activity(6000, at(4100), false));
        assert!(!detector.note_activity(6001, at(4101), true), "it is reported once");
        assert!(detector.note_activity(11_002, at(9102), true));
        // During a long handler nothing freezes.
        assert!(!detector.note_activity(21_002, at(19_102), false));
        // A clock that is set back shows nothing.
        assert!(!detector.note_activity(1, at(19_103), true));
    }
}
