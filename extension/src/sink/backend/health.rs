//! The backend's health: flush results decide when to try again.

use std::cmp::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// After this many failures in a row, invocations wait for nothing but probes that outlast their handler.
const MOST_FAILURES: u32 = 3;
/// Shortest time between probes from then on.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Time between probes as a multiple of the last one's duration. Probes of up to 1.5 s take at most a fortieth of the time.
const PROBE_SHARE: u32 = 40;
/// Shortest time limit of a probe.
const PROBE: Duration = Duration::from_millis(250);
/// Maximum number of doublings of a probe's time limit.
const MOST_DOUBLINGS: u32 = 8;
/// Time between attempts within one invocation.
const AGAIN: Duration = Duration::from_secs(5);
/// Limit of `Retry-After`, and of the time between probes.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackendHealth {
    failures: u32,
    /// The end of the pause that the backend asked for.
    asked_until_ms: u64,
    /// The end of the extension's own pause after a failure.
    own_until_ms: u64,
    /// The usual duration of a flush.
    cost_ms: Option<u64>,
}

impl BackendHealth {
    /// Returns `true` if several flushes failed.
    pub(crate) fn is_open(&self) -> bool {
        self.failures >= MOST_FAILURES
    }

    /// A pause that seems longer than any began before the clock was set back.
    pub(crate) fn is_paused(&self, now_ms: u64) -> bool {
        let left_ms = self.not_before_ms().saturating_sub(now_ms);
        left_ms > 0 && u128::from(left_ms) <= LONGEST_PAUSE.as_millis()
    }

    pub(crate) fn cost(&self) -> Duration {
        Duration::from_millis(self.cost_ms.unwrap_or(50))
    }

    /// Returns the time limit of a probe. It doubles with each failed one, because the backend may have become slower.
    pub(crate) fn probe(&self) -> Duration {
        // A new connection takes three round trips more than a usual flush.
        let first = PROBE.max(self.cost() * 4);
        first * (1 << self.failures.saturating_sub(MOST_FAILURES).min(MOST_DOUBLINGS))
    }

    pub(crate) fn succeeded(&mut self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.cost_ms =
            Some(self.cost_ms.map_or(took, |usual| (usual * 7 + took.min(60_000) * 3) / 10));
        (self.failures, self.asked_until_ms, self.own_until_ms) = (0, 0, 0);
    }

    /// Notes a failed flush, its duration, and the pause that the backend asked for.
    pub(crate) fn failed(&mut self, took: Duration, retry_after: Option<Duration>, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let after = |pause: Duration| {
            now_ms + u64::try_from(pause.min(LONGEST_PAUSE).as_millis()).unwrap_or_default()
        };
        self.asked_until_ms = after(retry_after.unwrap_or_default());
        self.own_until_ms = after(match self.failures.cmp(&MOST_FAILURES) {
            Ordering::Less => AGAIN,
            Ordering::Equal => PROBE_EVERY,
            Ordering::Greater => PROBE_EVERY.max(took.saturating_mul(PROBE_SHARE)),
        });
    }

    /// Notes the beginning of an invocation. Each may wait for one failing flush until the circuit opens.
    pub(crate) fn invoked(&mut self) {
        if !self.is_open() {
            self.own_until_ms = 0;
        }
    }

    /// Returns the end of the pause after a failure, or 0.
    pub(crate) fn not_before_ms(&self) -> u64 {
        self.asked_until_ms.max(self.own_until_ms)
    }
}

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

    const QUICK: Duration = Duration::from_millis(3);

    #[test]
    fn three_failures_open_the_circuit_and_one_success_closes_it() {
        let mut record = BackendHealth::default();
        for _ in 0..2 {
            record.failed(QUICK, None, 1000);
            // Not once more in the same invocation, unless it is a long one.
            assert_eq!((record.is_paused(5999), record.is_paused(6000)), (true, false));
            record.invoked();
            assert_eq!((record.is_open(), record.is_paused(1000)), (false, false));
        }
        record.failed(Duration::from_secs(1), None, 1000);
        record.invoked();
        assert_eq!((record.is_paused(10_999), record.is_paused(11_000)), (true, false));
        assert_eq!((record.is_open(), record.probe()), (true, Duration::from_millis(250)));
        record.failed(QUICK, None, 11_000);
        assert_eq!((record.is_paused(12_000), record.probe().as_millis()), (true, 500));
        record.succeeded(Duration::from_millis(20));
        assert_eq!((record.is_open(), record.is_paused(12_000)), (false, false));
        assert_eq!(record.cost(), Duration::from_millis(20));
        // The first probe of a distant backend may open a connection.
        record.succeeded(Duration::from_millis(420));
        assert_eq!(record.probe(), Duration::from_millis(4 * 140));
    }

    #[test]
    fn probes_take_a_fortieth_of_the_time() {
        let mut record = BackendHealth::default();
        let pauses = [1000, 1000, 1000, 3, 250, 500, 1000, 2000].map(|took| {
            record.failed(Duration::from_millis(took), None, 0);
            record.not_before_ms()
        });
        assert_eq!(pauses, [5000, 5000, 10_000, 10_000, 10_000, 20_000, 40_000, 60_000]);
    }

    #[test]
    fn a_pause_requested_by_the_backend_is_capped() {
        let mut record = BackendHealth::default();
        record.failed(QUICK, Some(Duration::from_secs(2)), 1000);
        record.invoked();
        assert_eq!((record.is_paused(2999), record.is_paused(3000)), (true, false));
        record.failed(QUICK, Some(Duration::from_hours(1)), 1000);
        record.invoked();
        assert_eq!((record.is_paused(60_999), record.is_paused(61_000)), (true, false));
    }

    #[test]
    fn a_clock_set_back_ends_the_pause() {
        let mut record = BackendHealth::default();
        record.failed(QUICK, None, 3_600_000);
        assert_eq!((record.is_paused(3_600_000), record.is_paused(1000)), (true, false));
    }

    #[test]
    fn a_freeze_is_detected_by_the_first_event_after_it() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut awake = Awake::new(0, begun);
        assert!(!awake.woke(4000, at(4000), true));
        // The other clock stood still, or ran on.
        assert!(awake.woke(6000, at(4100), false));
        assert!(!awake.woke(6001, at(4101), true), "it is reported once");
        assert!(awake.woke(11_002, at(9102), true));
        // Beside a long handler nothing freezes.
        assert!(!awake.woke(21_002, at(19_102), false));
        // A clock that is set back shows nothing.
        assert!(!awake.woke(1, at(19_103), true));
    }
}
