//! Detects freezes of the environment from two clocks. Connections may be gone after a freeze.

use std::time::Duration;
use tokio::time::Instant;

/// A silence of this length counts as a freeze if the environment may freeze.
const SILENCE_MS: u64 = 5_000;
/// The monotonic clock may stand still in a freeze. A larger lag behind the wall clock counts as a freeze.
const THAWED: Duration = Duration::from_secs(1);

/// Both clocks at the loop's last activity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awake {
    wall_ms: u64,
    other: Instant,
}

impl Awake {
    pub(crate) fn new(wall_ms: u64, other: Instant) -> Self {
        Self { wall_ms, other }
    }

    /// Notes that the loop is awake. Returns `true` if the environment may have been frozen since the last call.
    pub(crate) fn woke(&mut self, wall_ms: u64, other: Instant, may_freeze: bool) -> bool {
        let passed_ms = wall_ms.saturating_sub(self.wall_ms);
        let by_other = other.saturating_duration_since(self.other);
        let stood_still = Duration::from_millis(passed_ms).saturating_sub(by_other) > THAWED;
        *self = Self::new(wall_ms, other);
        stood_still || (may_freeze && passed_ms > SILENCE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_is_detected_by_the_first_event_after_it() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut awake = Awake::new(0, begun);
        assert!(!awake.woke(4000, at(4000), true));
        // The other clock stood still, or ran on.
        assert!(awake.woke(6000, at(4100), false));
        assert!(!awake.woke(6001, at(4101), true), "it is told once");
        assert!(awake.woke(11_002, at(9102), true));
        // Beside a long handler nothing freezes.
        assert!(!awake.woke(21_002, at(19_102), false));
        // A clock that is set back shows nothing.
        assert!(!awake.woke(1, at(19_103), true));
    }
}
