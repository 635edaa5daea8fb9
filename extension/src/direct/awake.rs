//! Tells from two clocks whether the environment may have been frozen, after which connections may be gone.

use std::time::Duration;
use tokio::time::Instant;

/// Who was silent for so long while the environment might freeze may have been frozen.
const SILENCE_MS: u64 = 5_000;
/// So far may the wall clock run ahead of the other one, which may stand still in a freeze.
const THAWED: Duration = Duration::from_secs(1);

/// Both clocks when the loop was last awake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awake {
    wall_ms: u64,
    other: Instant,
}

impl Awake {
    pub(super) fn new(wall_ms: u64, other: Instant) -> Self {
        Self { wall_ms, other }
    }

    /// The loop is awake: whether the environment may have been frozen since it last was. Any event may be the first after a
    /// freeze, and the next one does not see it any more.
    pub(super) fn woke(&mut self, wall_ms: u64, other: Instant, may_freeze: bool) -> bool {
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
    fn the_first_event_after_a_freeze_shows_it() {
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
