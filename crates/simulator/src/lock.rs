//! Locks a mutex whatever a panic elsewhere has left.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic in one test thread must not hide what the others would show.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
