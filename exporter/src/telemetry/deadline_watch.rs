//! Writes telemetry shortly before an invocation times out, even while the handler blocks its thread.

use crate::clock::Clock;
use crate::output::stderr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// The write time for an invocation that starts now: 100 ms before its deadline, or a tenth of its time if that is less.
pub(crate) fn write_at(start: SystemTime, deadline: SystemTime) -> Option<SystemTime> {
    const LONGEST_RESERVE: Duration = Duration::from_millis(100);
    let budget = deadline.duration_since(start).ok()?;
    deadline.checked_sub(LONGEST_RESERVE.min(budget / 10))
}

/// The next step of the watching thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No invocation runs.
    Park,
    /// Nothing is due before this has passed.
    Wait(Duration),
    /// An invocation is about to time out.
    Write,
}

fn next_step(now: SystemTime, looks_at: Option<SystemTime>) -> Step {
    match looks_at {
        None => Step::Park,
        Some(at) => match at.duration_since(now) {
            Ok(left) if !left.is_zero() => Step::Wait(left),
            _ => Step::Write,
        },
    }
}

/// Watches the deadlines of the running invocations.
///
/// The first invocation with a deadline starts the only thread, which parks after an idle period as long as an invocation may
/// take. It reads the wall clock whenever it wakes, because timers stop while the environment is frozen.
pub(crate) struct DeadlineWatch {
    shared: Arc<Shared>,
}

type Write = dyn Fn(&[u64]) + Send + Sync;

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    clock: Clock,
    write: Box<Write>,
}

#[derive(Default)]
struct State {
    /// The write time of each running invocation, by its number; more than one only with concurrent invocations.
    armed: Vec<(u64, SystemTime)>,
    thread: Thread,
    /// The time at which the thread wakes, or is being woken to wait for; `None` while it is parked.
    wakes_at: Option<SystemTime>,
}

#[derive(Default, PartialEq, Eq)]
enum Thread {
    #[default]
    NotStarted,
    Running,
    /// None is needed, or none could be started.
    Never,
}

impl State {
    /// The thread's next check: the earliest write time. Without invocations it keeps waiting for its previous time: if it
    /// parked, each invocation shorter than a wake-up would have to wake it.
    fn looks_at(&self, now: SystemTime) -> Option<SystemTime> {
        let earliest = self.armed.iter().map(|(_, at)| *at).min();
        earliest.or(self.wakes_at.filter(|at| *at > now))
    }
}

impl DeadlineWatch {
    /// Calls `write` on the watching thread with the numbers of invocations about to time out; `write` must not panic.
    pub(crate) fn new(clock: Clock, write: impl Fn(&[u64]) + Send + Sync + 'static) -> Self {
        let shared =
            Shared { state: Mutex::default(), wake: Condvar::new(), clock, write: Box::new(write) };
        Self { shared: Arc::new(shared) }
    }

    /// Like `new`, without a thread: a test calls [`step`](Self::step).
    #[cfg(test)]
    pub(crate) fn without_thread(self) -> Self {
        self.shared.lock().thread = Thread::Never;
        self
    }

    /// Watches the invocation with this number until the result is dropped.
    pub(crate) fn arm(&self, number: u64, deadline: SystemTime) -> Option<Armed> {
        let at = write_at(self.shared.clock.now(), deadline)?;
        let mut state = self.shared.lock();
        state.armed.push((number, at));
        let wakes_too_late = state.wakes_at.is_none_or(|wakes_at| wakes_at > at);
        if wakes_too_late {
            state.wakes_at = Some(at);
        }
        if state.thread == Thread::NotStarted {
            state.thread = self.start_thread();
        } else if wakes_too_late {
            self.shared.wake.notify_one();
        }
        Some(Armed { shared: Arc::clone(&self.shared), number })
    }

    fn start_thread(&self) -> Thread {
        const STACK_BYTES: usize = 512 * 1024;
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name("otlp-deadline".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.run());
        match thread {
            Ok(_) => Thread::Running,
            Err(error) => {
                stderr::warn(&format!(
                    "cannot start a thread, nothing is written before a timeout: {error}"
                ));
                Thread::Never
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn step(&self) {
        let state = self.shared.lock();
        drop(self.shared.step(state));
    }
}

impl std::fmt::Debug for DeadlineWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeadlineWatch")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let (next, step) = self.step(state);
            state = next;
            state = match step {
                Step::Write => state,
                Step::Park => {
                    state.wakes_at = None;
                    self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                Step::Wait(left) => {
                    state.wakes_at = self.clock.now().checked_add(left);
                    let woken = self.wake.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Writes due telemetry and returns the lock.
    fn step<'a>(&'a self, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, Step) {
        let now = self.clock.now();
        let step = next_step(now, state.looks_at(now));
        if step == Step::Write {
            let is_due = |(_, at): &mut (u64, SystemTime)| *at <= now;
            let due: Vec<u64> =
                state.armed.extract_if(.., is_due).map(|(number, _)| number).collect();
            drop(state);
            (self.write)(&due);
            state = self.lock();
        }
        (state, step)
    }
}

pub(crate) struct Armed {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Armed {
    fn drop(&mut self) {
        // The thread is not woken: when it wakes, it finds nothing to do and parks.
        self.shared.lock().armed.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn the_reserve_is_a_tenth_of_the_time_and_at_most_100_ms() {
        let check = |start, deadline, expected: Option<u64>| {
            assert_eq!(write_at(at(start), at(deadline)), expected.map(at));
        };
        check(0, 3000, Some(2900));
        check(0, 900_000, Some(899_900));
        check(0, 1000, Some(900));
        check(0, 500, Some(450));
        check(0, 10, Some(9));
        check(100, 100, Some(100));
        check(101, 100, None);
        check(1_790_000_000_000, 0, None);
    }

    #[test]
    fn a_waiting_thread_is_not_woken_for_a_later_deadline() {
        let now_ms = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let clock = Arc::clone(&now_ms);
        let clock = Clock::new(move || at(clock.load(std::sync::atomic::Ordering::Relaxed)));
        let watch = DeadlineWatch::new(clock, |_| unreachable!("nothing is due")).without_thread();
        let step = || watch.shared.step(watch.shared.lock()).1;
        // Ended before the thread has run.
        drop(watch.arm(1, at(1000)));
        assert_eq!(step(), Step::Wait(Duration::from_millis(900)));
        now_ms.store(500, std::sync::atomic::Ordering::Relaxed);
        drop(watch.arm(2, at(1500)));
        let woken_for = watch.shared.lock().wakes_at;
        assert_eq!(woken_for, Some(at(900)), "it is not woken for the second");
        now_ms.store(900, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(step(), Step::Park);
    }

    #[test]
    fn the_thread_writes_due_invocations_and_skips_ended_ones() {
        let (written, writes) = std::sync::mpsc::sync_channel(1);
        let watch = DeadlineWatch::new(Clock::new(|| at(1000)), move |due| {
            written.send(due.to_vec()).unwrap();
        });
        // Due in an hour, and ended at once.
        drop(watch.arm(1, at(3_601_000)));
        let _armed = watch.arm(2, at(1000));
        assert_eq!(writes.recv().unwrap(), [2]);
        assert_eq!(watch.shared.lock().armed.len(), 0, "written once");
    }
}
