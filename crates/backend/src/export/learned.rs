//! Facts about a backend, learned from its responses and kept for the lifetime of the client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Lower limits are ignored, because each record would become a request of its own.
const LEAST_COLUMNS: usize = 50;

/// The maximum number of warnings to log. A backend may put a different number into each.
const MOST_WARNINGS: usize = 16;

/// Facts learned about a backend, shared between clones.
#[derive(Debug, Clone)]
pub(crate) struct Learned(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_columns: AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Learned {
    pub(crate) fn new(max_columns: usize) -> Self {
        let max_columns = AtomicUsize::new(max_columns);
        Self(Arc::new(Inner { max_columns, warnings: Mutex::default() }))
    }

    /// Notes a column limit that the backend stated. Returns `true` if it is lower than the known limit.
    pub(super) fn learn_max_columns(&self, columns: usize) -> bool {
        columns >= LEAST_COLUMNS
            && self.0.max_columns.fetch_min(columns, Ordering::Relaxed) > columns
    }

    /// The maximum number of columns of a request: a tenth below the limit, which leaves room for columns that newer versions of
    /// OpenObserve add.
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
