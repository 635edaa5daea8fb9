//! What was learned of a backend from its answers, for as long as the client lives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A limit below this is not believed: each record would be a request of its own.
const LEAST_COLUMNS: usize = 50;

/// The maximum number of warnings to log. A backend may put a different number into each.
const MOST_WARNINGS: usize = 16;

/// What was learned of a backend; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Learned(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_columns: AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Learned {
    /// Nothing yet: the limit on columns is as it was set.
    pub(crate) fn new(max_columns: usize) -> Self {
        let max_columns = AtomicUsize::new(max_columns);
        Self(Arc::new(Inner { max_columns, warnings: Mutex::default() }))
    }

    /// Takes note of a limit on columns that the backend named. True if the one that was known is higher.
    pub(super) fn learn_max_columns(&self, columns: usize) -> bool {
        columns >= LEAST_COLUMNS
            && self.0.max_columns.fetch_min(columns, Ordering::Relaxed) > columns
    }

    /// How many columns a request is given: a tenth less than the limit, for those that newer versions of OpenObserve may add.
    pub(super) fn columns(&self) -> usize {
        let limit = self.0.max_columns.load(Ordering::Relaxed);
        limit - limit / 10
    }

    /// Returns `true` if the warning is new: a backend may repeat it with each request.
    pub(super) fn is_new_warning(&self, warning: &str) -> bool {
        // The list stays complete if another thread panics.
        let mut told = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = told.len() < MOST_WARNINGS && told.iter().all(|other| other != warning);
        if is_new {
            told.push(warning.to_owned());
        }
        is_new
    }
}
