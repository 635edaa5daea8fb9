//! What was learned of a backend from its answers, for as long as the client lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A limit below this is not believed: each record would be a request of its own.
const LEAST_COLUMNS: usize = 50;

/// What was learned of a backend; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Learned(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_columns: AtomicUsize,
    has_warned: AtomicBool,
}

impl Learned {
    /// Nothing yet: the limit on columns is as it was set.
    pub(crate) fn new(max_columns: usize) -> Self {
        let max_columns = AtomicUsize::new(max_columns);
        Self(Arc::new(Inner { max_columns, has_warned: AtomicBool::new(false) }))
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

    /// True at the first call: a backend that accepts with answers of its own does so each time, which is said once.
    pub(super) fn warns_first(&self) -> bool {
        !self.0.has_warned.swap(true, Ordering::Relaxed)
    }
}
