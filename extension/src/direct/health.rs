//! How the backend is doing: what its answers say about when to try again.

use super::flush::Health;
use std::time::Duration;

/// After so many failures in a row nobody waits for the backend any more.
const MOST_FAILURES: u32 = 3;
/// From then on it is asked so seldom.
const PROBE_EVERY_MS: u64 = 10_000;
/// Within one invocation it is tried again after this time.
const AGAIN_MS: u64 = 5_000;
/// A longer `Retry-After` is taken for this one.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What the flushes so far have shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    failures: u32,
    /// What the backend asked for.
    asked_until_ms: u64,
    /// What a failure costs by itself.
    own_until_ms: u64,
    /// How long a flush usually takes.
    cost_ms: Option<u64>,
}

impl Record {
    pub(super) fn at(&self, now_ms: u64) -> Health {
        match (self.failures >= MOST_FAILURES, now_ms < self.not_before_ms()) {
            (false, false) => Health::Good,
            (false, true) => Health::Paused,
            (true, false) => Health::Open,
            (true, true) => Health::OpenAndPaused,
        }
    }

    pub(super) fn cost(&self) -> Duration {
        Duration::from_millis(self.cost_ms.unwrap_or(50))
    }

    /// A flush delivered all, and took so long.
    pub(super) fn succeeded(&mut self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.cost_ms =
            Some(self.cost_ms.map_or(took, |usual| (usual * 7 + took.min(60_000) * 3) / 10));
        (self.failures, self.asked_until_ms, self.own_until_ms) = (0, 0, 0);
    }

    /// A flush did not, and the backend may have asked for a pause.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.unwrap_or_default().min(LONGEST_PAUSE).as_millis();
        self.asked_until_ms = now_ms + u64::try_from(asked).unwrap_or_default();
        let is_open = self.failures >= MOST_FAILURES;
        self.own_until_ms = now_ms + if is_open { PROBE_EVERY_MS } else { AGAIN_MS };
    }

    /// An invocation begins: each may pay for one failure until nobody waits any more.
    pub(super) fn invoked(&mut self) {
        if self.failures < MOST_FAILURES {
            self.own_until_ms = 0;
        }
    }

    fn not_before_ms(&self) -> u64 {
        self.asked_until_ms.max(self.own_until_ms)
    }

    /// When it may be tried again, if that is later.
    pub(super) fn again_at_ms(&self, now_ms: u64) -> Option<u64> {
        Some(self.not_before_ms()).filter(|at| *at > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_open_the_circuit_and_one_success_closes_it() {
        let mut record = Record::default();
        for _ in 0..2 {
            record.failed(None, 1000);
            // Not once more in the same invocation, unless it is a long one.
            assert_eq!((record.at(5999), record.at(6000)), (Health::Paused, Health::Good));
            record.invoked();
            assert_eq!(record.at(1000), Health::Good);
        }
        record.failed(None, 1000);
        record.invoked();
        assert_eq!(record.at(10_999), Health::OpenAndPaused);
        assert_eq!(record.at(11_000), Health::Open);
        assert_eq!(record.again_at_ms(1000), Some(11_000));
        record.failed(None, 11_000);
        assert_eq!(record.at(12_000), Health::OpenAndPaused);
        record.succeeded(Duration::from_millis(20));
        assert_eq!((record.at(12_000), record.cost()), (Health::Good, Duration::from_millis(20)));
    }

    #[test]
    fn a_pause_that_the_backend_asks_for_is_kept_within_a_bound() {
        let mut record = Record::default();
        record.failed(Some(Duration::from_secs(2)), 1000);
        record.invoked();
        assert_eq!((record.at(2999), record.at(3000)), (Health::Paused, Health::Good));
        record.failed(Some(Duration::from_hours(1)), 1000);
        record.invoked();
        assert_eq!((record.at(60_999), record.at(61_000)), (Health::Paused, Health::Good));
    }
}
