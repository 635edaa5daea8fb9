//! A lock for which a thread waits for a bounded time; the standard library's has no such wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Locked by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct TimedLock {
    holder: Mutex<Option<ThreadId>>,
    unlocked: Condvar,
}

/// Unlocks when it is dropped.
pub(crate) struct TimedLockGuard<'a>(&'a TimedLock);

impl TimedLock {
    /// Waits until no other thread holds the lock; `None` if one still does when `timeout` is over, and at once where this thread
    /// holds it, which would wait for itself.
    pub(crate) fn lock(&self, timeout: Duration) -> Option<TimedLockGuard<'_>> {
        let this = thread::current().id();
        let is_anothers = |holder: &mut Option<ThreadId>| holder.is_some_and(|own| own != this);
        let waited = self.unlocked.wait_timeout_while(self.holder(), timeout, is_anothers);
        let (mut holder, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_free = holder.is_none();
        holder.get_or_insert(this);
        is_free.then(|| TimedLockGuard(self))
    }

    fn holder(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TimedLockGuard<'_> {
    fn drop(&mut self) {
        *self.0.holder() = None;
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
        assert!(lock.lock(Duration::MAX).is_none(), "it is this thread's own");
        std::thread::scope(|scope| {
            assert!(scope.spawn(|| lock.lock(Duration::ZERO).is_none()).join().unwrap());
            let next = scope.spawn(|| lock.lock(Duration::from_secs(60)).is_some());
            drop(guard);
            assert!(next.join().unwrap());
        });
        assert!(lock.lock(Duration::ZERO).is_some());
    }
}
