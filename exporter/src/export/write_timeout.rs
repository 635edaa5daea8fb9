//! The time to wait for an output, derived from the earliest deadline of the running invocations.

use crate::clock::{Clock, unix_nanos};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Maximum wait for the reader of our lines.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum wait after a timeout: a stuck reader must not cost each invocation a second.
pub(crate) const STUCK_TIMEOUT: Duration = Duration::from_millis(5);

/// The earliest timeout of the running invocations.
#[derive(Debug)]
pub(crate) struct Deadline {
    clock: Clock,
    /// The deadline of each running invocation, in Unix nanoseconds.
    running: Mutex<Vec<u64>>,
}

/// The deadline for the application's own exporters.
static OF_PROCESS: LazyLock<Arc<Deadline>> =
    LazyLock::new(|| Arc::new(Deadline::new(Clock::system())));

impl Deadline {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, running: Mutex::default() }
    }

    pub(crate) fn of_process() -> Arc<Self> {
        Arc::clone(&OF_PROCESS)
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Adds the deadline of a starting invocation. Removes passed deadlines, of invocations that never reported their end.
    pub(crate) fn set(&self, deadline: SystemTime) {
        let now = unix_nanos(self.now());
        let mut running = self.running();
        running.push(unix_nanos(deadline));
        running.retain(|deadline| *deadline > now);
    }

    /// Removes the deadline of a finished invocation.
    pub(crate) fn clear(&self, deadline: SystemTime) {
        let own = unix_nanos(deadline);
        let mut running = self.running();
        if let Some(at) = running.iter().position(|deadline| *deadline == own) {
            running.swap_remove(at);
        }
    }

    /// The environment ends: no further response is expected, so no deadline applies.
    pub(crate) fn clear_all(&self) {
        self.running().clear();
    }

    /// `None` if no invocation runs.
    fn time_left(&self) -> Option<Duration> {
        let first = self.running().iter().min().copied()?;
        Some(Duration::from_nanos(first.saturating_sub(unix_nanos(self.now()))))
    }

    /// Returns `true` if an invocation times out within this time.
    #[cfg(test)]
    pub(crate) fn is_near(&self, within: Duration) -> bool {
        self.time_left().is_some_and(|left| left < within)
    }

    fn running(&self) -> MutexGuard<'_, Vec<u64>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` if too little time is left to compress this many bytes and return the response.
    pub(crate) fn is_too_close_for(&self, bytes: usize) -> bool {
        /// Reserve for the response and the runtime that sends it.
        const RESERVE: Duration = Duration::from_millis(10);
        /// Cost of compressing a batch that is cut into lines, for which a byte is compressed several times.
        const NANOS_A_BYTE: u64 = 50;
        let work = Duration::from_nanos(NANOS_A_BYTE.saturating_mul(bytes as u64));
        self.time_left().is_some_and(|left| left <= RESERVE.saturating_add(work))
    }
}

/// The wait for one output or exporter.
#[derive(Debug)]
pub(crate) struct WriteTimeout {
    deadline: Arc<Deadline>,
    /// `true` if the last wait timed out.
    is_stuck: AtomicBool,
}

impl WriteTimeout {
    pub(crate) fn new(deadline: Arc<Deadline>) -> Self {
        Self { deadline, is_stuck: AtomicBool::new(false) }
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Half of the remaining time of the invocation, at most a second, and at most 5 ms after a timeout.
    pub(crate) fn get(&self) -> Duration {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let longest = if is_stuck { STUCK_TIMEOUT } else { LONGEST_TIMEOUT };
        self.deadline.time_left().map_or(longest, |left| longest.min(left / 2))
    }

    /// Notes whether the last wait timed out.
    pub(crate) fn note(&self, was_in_vain: bool) {
        self.is_stuck.store(was_in_vain, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::time::UNIX_EPOCH;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn deadline(deadline_ms: u64, now_ms: u64) -> Deadline {
        let time = Arc::new(AtomicU64::new(1));
        let clock = Arc::clone(&time);
        let deadline = Deadline::new(Clock::new(move || at(clock.load(Ordering::Relaxed))));
        deadline.set(at(deadline_ms));
        time.store(now_ms, Ordering::Relaxed);
        deadline
    }

    #[test]
    fn the_timeout_is_half_of_the_time_left_and_at_most_a_second() {
        let check = |deadline_ms, expected_ms| {
            let timeout = WriteTimeout::new(Arc::new(deadline(deadline_ms, 1_000_000)));
            assert_eq!(timeout.get(), Duration::from_millis(expected_ms), "{deadline_ms}");
        };
        check(0, 1000);
        check(1_900_000, 1000);
        check(1_001_000, 500);
        check(1_000_100, 50);
        check(1_000_000, 0);
        check(999_999, 0);
    }

    #[test]
    fn near_the_deadline_large_batches_are_dropped_first() {
        let check = |left_ms: u64, bytes, expected| {
            let deadline = deadline(1_000_000 + left_ms, 1_000_000);
            assert_eq!(deadline.is_too_close_for(bytes), expected, "{left_ms} ms, {bytes} bytes");
        };
        check(100, 0, false);
        check(100, 1 << 20, false);
        check(50, 1 << 20, true);
        check(50, 1 << 10, false);
        check(10, 0, true);
        check(0, 0, true);
    }

    #[test]
    fn the_earliest_deadline_of_concurrent_invocations_applies() {
        let deadline = deadline(2000, 1000);
        deadline.set(at(900_000));
        assert_eq!(deadline.time_left(), Some(Duration::from_secs(1)), "not the last one's");
        deadline.set(at(2000));
        deadline.clear(at(2000));
        assert_eq!(deadline.time_left(), Some(Duration::from_secs(1)), "two have the same");
        deadline.clear(at(2000));
        assert_eq!(deadline.time_left(), Some(Duration::from_secs(899)));
        deadline.clear(at(900_000));
        assert_eq!(deadline.time_left(), None);
    }
}
