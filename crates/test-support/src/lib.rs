//! What tests and the demo need beside the local Lambda: a fake OpenObserve, TLS and a proxy in front of it, a secret store, the items
//! in a log and their comparison, and filter patterns.

mod comparison;
mod filter_pattern;
mod logged;
pub mod openobserve;
pub mod proxy;
pub mod secrets;
#[cfg(feature = "tls")]
pub mod tls;

pub use comparison::Comparison;
pub use filter_pattern::selects;
pub use logged::Logged;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic in one test thread must not hide the results of the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
