//! Locks of mutexes that ignore poisoning.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic in one test thread must not hide the results of the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
