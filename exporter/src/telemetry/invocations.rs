//! The running invocations, and the thread that writes telemetry shortly before one of them times out, even while the handler
//! blocks its thread.

use crate::clock::Clock;
use crate::output::stderr;
use opentelemetry::Context;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// An invocation, from its start until its telemetry is written.
#[derive(Debug)]
struct Invocation {
    number: u64,
    /// The context of its span, until the span ends.
    context: Option<Context>,
    /// The number of the record that tells an extension about the root.
    record: Option<u64>,
    deadline: SystemTime,
    /// The time to write its telemetry before it times out; `None` once it is written.
    write_at: Option<SystemTime>,
}

/// The write time for an invocation that starts now: 100 ms before its deadline, or a tenth of its time if that is less.
fn write_at(start: SystemTime, deadline: SystemTime) -> Option<SystemTime> {
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

/// The running invocations; more than one only with concurrent invocations.
///
/// The first invocation with a deadline starts the only thread, which parks after an idle period as long as an invocation may
/// take. It reads the wall clock whenever it wakes, because timers stop while the environment is frozen.
pub(crate) struct RunningInvocations {
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
    begun: u64,
    running: Vec<Invocation>,
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
        let earliest = self.running.iter().filter_map(|own| own.write_at).min();
        earliest.or(self.wakes_at.filter(|at| *at > now))
    }
}

impl RunningInvocations {
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

    /// Adds an invocation whose span has this context, and returns its number. Its deadline is watched until
    /// [`finish`](Self::finish).
    pub(crate) fn begin(&self, context: Context, record: Option<u64>, deadline: SystemTime) -> u64 {
        let write_at = write_at(self.shared.clock.now(), deadline);
        let mut state = self.shared.lock();
        state.begun += 1;
        let number = state.begun;
        let context = Some(context);
        state.running.push(Invocation { number, context, record, deadline, write_at });
        if let Some(at) = write_at {
            let wakes_too_late = state.wakes_at.is_none_or(|wakes_at| wakes_at > at);
            if wakes_too_late {
                state.wakes_at = Some(at);
            }
            if state.thread == Thread::NotStarted {
                state.thread = self.start_thread();
            } else if wakes_too_late {
                self.shared.wake.notify_one();
            }
        }
        number
    }

    pub(crate) fn have_begun(&self) -> bool {
        self.shared.lock().begun > 0
    }

    /// The numbers, contexts and records of the invocations whose spans are open.
    pub(crate) fn open(&self) -> Vec<(u64, Context, Option<u64>)> {
        let state = self.shared.lock();
        let open = state.running.iter();
        open.filter_map(|own| Some((own.number, own.context.clone()?, own.record))).collect()
    }

    /// The span of this invocation has ended.
    pub(crate) fn end(&self, number: u64) {
        let mut state = self.shared.lock();
        if let Some(own) = state.running.iter_mut().find(|own| own.number == number) {
            own.context = None;
        }
    }

    /// The records of these invocations.
    pub(crate) fn records(&self, numbers: &[u64]) -> Vec<u64> {
        let state = self.shared.lock();
        let own = state.running.iter().filter(|own| numbers.contains(&own.number));
        own.filter_map(|own| own.record).collect()
    }

    /// The telemetry of this invocation is written. Returns its deadline. The thread is not woken: when it wakes, it finds
    /// nothing to do and parks.
    pub(crate) fn finish(&self, number: u64) -> Option<SystemTime> {
        let mut state = self.shared.lock();
        let at = state.running.iter().position(|own| own.number == number)?;
        Some(state.running.swap_remove(at).deadline)
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

impl std::fmt::Debug for RunningInvocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunningInvocations")
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
            let take_due =
                |own: &mut Invocation| own.write_at.take_if(|at| *at <= now).map(|_| own.number);
            let due: Vec<u64> = state.running.iter_mut().filter_map(take_due).collect();
            drop(state);
            (self.write)(&due);
            state = self.lock();
        }
        (state, step)
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
        let running =
            RunningInvocations::new(clock, |_| unreachable!("nothing is due")).without_thread();
        let step = || running.shared.step(running.shared.lock()).1;
        let run = |deadline| running.finish(running.begin(Context::new(), None, deadline));
        // Ended before the thread has run.
        run(at(1000));
        assert_eq!(step(), Step::Wait(Duration::from_millis(900)));
        now_ms.store(500, std::sync::atomic::Ordering::Relaxed);
        run(at(1500));
        let woken_for = running.shared.lock().wakes_at;
        assert_eq!(woken_for, Some(at(900)), "it is not woken for the second");
        now_ms.store(900, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(step(), Step::Park);
    }

    #[test]
    fn the_thread_writes_due_invocations_and_skips_ended_ones() {
        let (written, writes) = std::sync::mpsc::sync_channel(1);
        let running = RunningInvocations::new(Clock::new(|| at(1000)), move |due| {
            written.send(due.to_vec()).unwrap();
        });
        let begin = |deadline| running.begin(Context::new(), None, deadline);
        // Due in an hour, and ended at once.
        running.finish(begin(at(3_601_000)));
        begin(at(1000));
        assert_eq!(writes.recv().unwrap(), [2]);
        assert_eq!(running.shared.lock().looks_at(at(1000)), None, "written once");
    }
}
