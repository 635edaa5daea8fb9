//! A lock that is not waited for for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Taken by one at a time.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

/// Frees the turn when it is dropped.
pub(crate) struct Taken<'a>(&'a Turn);

impl Turn {
    /// Waits until nobody has it; `None` if somebody still has it after that time.
    pub(crate) fn take(&self, patience: Duration) -> Option<Taken<'_>> {
        let waited = self.freed.wait_timeout_while(self.lock(), patience, |taken| *taken);
        let (mut is_taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_mine = !std::mem::replace(&mut *is_taken, true);
        is_mine.then(|| Taken(self))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_the_next_gets_it() {
        let turn = Turn::default();
        let taken = turn.take(Duration::ZERO).unwrap();
        assert!(turn.take(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turn.take(Duration::from_secs(60)).is_some());
            drop(taken);
            assert!(next.join().unwrap());
        });
        assert!(turn.take(Duration::ZERO).is_some());
    }
}
