//! The backend's health: the results of flushes decide when the next one may begin, and how long it may take.

use std::cmp::Ordering;
use std::time::Duration;

/// The number of failed flushes in a row after which the backend is failing. From then on flushes are short probes, and no
/// invocation is held for one.
const FAILURES_UNTIL_PROBES: u32 = 3;
/// Shortest time between probes.
const SHORTEST_PROBE_PAUSE: Duration = Duration::from_secs(10);
/// Time between probes as a multiple of the last one's duration. Probes of up to 1.5 s take at most a fortieth of the time.
const PROBE_PAUSE_FACTOR: u32 = 40;
/// Time limit of the first probe, unless flushes usually take long.
const SHORTEST_PROBE_TIMEOUT: Duration = Duration::from_millis(250);
/// Maximum number of doublings of a probe's time limit.
const MAX_DOUBLINGS: u32 = 8;
/// Time between attempts within one invocation.
const PAUSE_WITHIN_INVOCATION: Duration = Duration::from_secs(5);
/// Limit of `Retry-After`, and of the time between probes.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The assumed duration of a flush before the first success.
const DEFAULT_FLUSH_MS: u64 = 50;
/// The longest duration of a flush that changes the usual one.
const LONGEST_FLUSH_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BackendHealth {
    /// The number of failed flushes since the last success.
    failures: u32,
    /// The end of the pause that the backend asked for.
    requested_pause_end_ms: u64,
    /// The end of the extension's own pause after a failure.
    own_pause_end_ms: u64,
    usual_flush_ms: Option<u64>,
}

impl BackendHealth {
    /// Returns `true` if several flushes in a row failed, so that the next one is a probe.
    pub(super) fn is_failing(&self) -> bool {
        self.failures >= FAILURES_UNTIL_PROBES
    }

    /// Returns `true` if no flush may begin. A pause that seems longer than the longest began before the clock was set back, and
    /// is over.
    pub(super) fn is_paused(&self, now_ms: u64) -> bool {
        let left_ms = self.pause_end_ms().saturating_sub(now_ms);
        left_ms > 0 && u128::from(left_ms) <= LONGEST_PAUSE.as_millis()
    }

    /// Returns the usual duration of a flush.
    pub(super) fn usual_flush(&self) -> Duration {
        Duration::from_millis(self.usual_flush_ms.unwrap_or(DEFAULT_FLUSH_MS))
    }

    /// Returns the time limit of a probe. It doubles with each failed one, because the backend may have become slower.
    pub(super) fn probe_timeout(&self) -> Duration {
        // A new connection takes three round trips more than a usual flush.
        let first = SHORTEST_PROBE_TIMEOUT.max(self.usual_flush() * 4);
        let doublings = self.failures.saturating_sub(FAILURES_UNTIL_PROBES).min(MAX_DOUBLINGS);
        first * (1 << doublings)
    }

    pub(super) fn note_success(&mut self, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.usual_flush_ms = Some(match self.usual_flush_ms {
            // A moving average.
            Some(usual_ms) => (usual_ms * 7 + took_ms.min(LONGEST_FLUSH_MS) * 3) / 10,
            None => took_ms,
        });
        self.failures = 0;
        self.requested_pause_end_ms = 0;
        self.own_pause_end_ms = 0;
    }

    /// Notes a failed flush, its duration, and the pause that the backend asked for.
    pub(super) fn note_failure(
        &mut self,
        took: Duration,
        retry_after: Option<Duration>,
        now_ms: u64,
    ) {
        self.failures = self.failures.saturating_add(1);
        let own_pause = match self.failures.cmp(&FAILURES_UNTIL_PROBES) {
            Ordering::Less => PAUSE_WITHIN_INVOCATION,
            Ordering::Equal => SHORTEST_PROBE_PAUSE,
            Ordering::Greater => SHORTEST_PROBE_PAUSE.max(took.saturating_mul(PROBE_PAUSE_FACTOR)),
        };
        let end_ms = |pause: Duration| {
            now_ms + u64::try_from(pause.min(LONGEST_PAUSE).as_millis()).unwrap_or_default()
        };
        self.requested_pause_end_ms = end_ms(retry_after.unwrap_or_default());
        self.own_pause_end_ms = end_ms(own_pause);
    }

    /// Notes the beginning of an invocation. Until the backend is failing, each invocation may wait for one failing flush.
    pub(super) fn note_invocation(&mut self) {
        if !self.is_failing() {
            self.own_pause_end_ms = 0;
        }
    }

    /// Returns the end of the pause after a failure, or 0.
    pub(super) fn pause_end_ms(&self) -> u64 {
        self.requested_pause_end_ms.max(self.own_pause_end_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(3);

    #[test]
    fn three_failures_lead_to_probes_and_one_success_ends_them() {
        let mut health = BackendHealth::default();
        for _ in 0..2 {
            health.note_failure(QUICK, None, 1000);
            // Not once more in the same invocation, unless it is a long one.
            assert_eq!((health.is_paused(5999), health.is_paused(6000)), (true, false));
            health.note_invocation();
            assert_eq!((health.is_failing(), health.is_paused(1000)), (false, false));
        }
        health.note_failure(Duration::from_secs(1), None, 1000);
        health.note_invocation();
        assert_eq!((health.is_paused(10_999), health.is_paused(11_000)), (true, false));
        assert_eq!(
            (health.is_failing(), health.probe_timeout()),
            (true, Duration::from_millis(250))
        );
        health.note_failure(QUICK, None, 11_000);
        assert_eq!((health.is_paused(12_000), health.probe_timeout().as_millis()), (true, 500));
        health.note_success(Duration::from_millis(20));
        assert_eq!((health.is_failing(), health.is_paused(12_000)), (false, false));
        assert_eq!(health.usual_flush(), Duration::from_millis(20));
        // The first probe of a distant backend may open a connection.
        health.note_success(Duration::from_millis(420));
        assert_eq!(health.probe_timeout(), Duration::from_millis(4 * 140));
    }

    #[test]
    fn probes_take_a_fortieth_of_the_time() {
        let mut health = BackendHealth::default();
        let pauses = [1000, 1000, 1000, 3, 250, 500, 1000, 2000].map(|took| {
            health.note_failure(Duration::from_millis(took), None, 0);
            health.pause_end_ms()
        });
        assert_eq!(pauses, [5000, 5000, 10_000, 10_000, 10_000, 20_000, 40_000, 60_000]);
    }

    #[test]
    fn a_pause_requested_by_the_backend_is_capped() {
        let mut health = BackendHealth::default();
        health.note_failure(QUICK, Some(Duration::from_secs(2)), 1000);
        health.note_invocation();
        assert_eq!((health.is_paused(2999), health.is_paused(3000)), (true, false));
        health.note_failure(QUICK, Some(Duration::from_hours(1)), 1000);
        health.note_invocation();
        assert_eq!((health.is_paused(60_999), health.is_paused(61_000)), (true, false));
    }

    #[test]
    fn a_clock_set_back_ends_the_pause() {
        let mut health = BackendHealth::default();
        health.note_failure(QUICK, None, 3_600_000);
        assert_eq!((health.is_paused(3_600_000), health.is_paused(1000)), (true, false));
    }
}
