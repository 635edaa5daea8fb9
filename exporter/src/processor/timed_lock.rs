//! A lock with a bounded wait, which the standard library lacks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Locked by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct TimedLock {
    state: Mutex<State>,
    unlocked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    holder: Option<ThreadId>,
    /// Number of waiting threads: waking costs a system call even without any.
    waiting: usize,
}

/// Unlocks when it is dropped.
pub(crate) struct TimedLockGuard<'a>(&'a TimedLock);

impl TimedLock {
    /// Waits until no other thread holds the lock. `None` after `timeout`, or at once if this thread holds it, which would be a
    /// deadlock.
    pub(crate) fn lock(&self, timeout: Duration) -> Option<TimedLockGuard<'_>> {
        let this = thread::current().id();
        let is_anothers = |state: &mut State| state.holder.is_some_and(|own| own != this);
        let mut state = self.state();
        state.waiting += 1;
        let waited = self.unlocked.wait_timeout_while(state, timeout, is_anothers);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        let is_free = state.holder.is_none();
        state.holder.get_or_insert(this);
        is_free.then(|| TimedLockGuard(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TimedLockGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holder = None;
        if state.waiting > 0 {
            self.0.unlocked.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_lock_passes_to_a_waiting_thread() {
        let lock = TimedLock::default();
        let guard = lock.lock(Duration::ZERO).unwrap();
        assert!(lock.lock(Duration::MAX).is_none(), "it is this thread's own");
        std::thread::scope(|scope| {
            assert!(scope.spawn(|| lock.lock(Duration::ZERO).is_none()).join().unwrap());
            // Without a wake-up it would wait forever.
            let next = scope.spawn(|| lock.lock(Duration::MAX).is_some());
            while lock.state().waiting == 0 {
                thread::yield_now();
            }
            drop(guard);
            assert!(next.join().unwrap());
        });
        assert_eq!(lock.state().waiting, 0);
        assert!(lock.lock(Duration::ZERO).is_some());
    }
}
