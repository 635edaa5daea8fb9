//! The time to wait for an output, derived from the earliest deadline of the running invocations.

use crate::telemetry::invocations::Invocations;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Maximum wait for the reader of our lines.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum wait after a timeout: a stuck reader must not cost each invocation a second.
pub(crate) const STUCK_TIMEOUT: Duration = Duration::from_millis(5);

/// The wait for one output or exporter.
#[derive(Debug)]
pub(crate) struct WriteTimeout {
    invocations: Arc<Invocations>,
    /// `true` if the last wait timed out.
    is_stuck: AtomicBool,
}

impl WriteTimeout {
    pub(crate) fn new(invocations: Arc<Invocations>) -> Self {
        Self { invocations, is_stuck: AtomicBool::new(false) }
    }

    pub(crate) fn invocations(&self) -> &Arc<Invocations> {
        &self.invocations
    }

    /// Half of the remaining time of the invocation, at most a second, and at most 5 ms after a timeout.
    pub(crate) fn get(&self) -> Duration {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let longest = if is_stuck { STUCK_TIMEOUT } else { LONGEST_TIMEOUT };
        self.invocations.time_left().map_or(longest, |left| longest.min(left / 2))
    }

    /// Notes whether the last wait timed out.
    pub(crate) fn note(&self, was_in_vain: bool) {
        self.is_stuck.store(was_in_vain, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::sync::Weak;
    use std::time::UNIX_EPOCH;

    #[test]
    fn the_timeout_is_half_of_the_time_left_and_at_most_a_second() {
        let check = |left_ms, expected_ms| {
            let now = UNIX_EPOCH + Duration::from_secs(1000);
            let invocations = Arc::new(Invocations::without_thread(Clock::new(move || now)));
            let timeout = WriteTimeout::new(Arc::clone(&invocations));
            assert_eq!(timeout.get(), LONGEST_TIMEOUT);
            invocations.begin(now + Duration::from_millis(left_ms), true, Weak::new());
            assert_eq!(timeout.get(), Duration::from_millis(expected_ms), "{left_ms}");
        };
        check(900_000, 1000);
        check(1000, 500);
        check(100, 50);
    }
}
