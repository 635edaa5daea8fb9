//! A lock for which a thread waits for a bounded time; the standard library's has no such wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locked by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct TimedLock {
    is_locked: Mutex<bool>,
    unlocked: Condvar,
}

/// Unlocks when it is dropped.
pub(crate) struct TimedLockGuard<'a>(&'a TimedLock);

impl TimedLock {
    /// Waits until no other thread holds the lock; `None` if one still does when `timeout` is over.
    pub(crate) fn lock(&self, timeout: Duration) -> Option<TimedLockGuard<'_>> {
        let waited = self.unlocked.wait_timeout_while(self.state(), timeout, |locked| *locked);
        let (mut is_locked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_mine = !std::mem::replace(&mut *is_locked, true);
        is_mine.then(|| TimedLockGuard(self))
    }

    fn state(&self) -> MutexGuard<'_, bool> {
        self.is_locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TimedLockGuard<'_> {
    fn drop(&mut self) {
        *self.0.state() = false;
        self.0.unlocked.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_holds_the_lock_and_the_next_gets_it() {
        let lock = TimedLock::default();
        let guard = lock.lock(Duration::ZERO).unwrap();
        assert!(lock.lock(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let next = scope.spawn(|| lock.lock(Duration::from_secs(60)).is_some());
            drop(guard);
            assert!(next.join().unwrap());
        });
        assert!(lock.lock(Duration::ZERO).is_some());
    }
}
