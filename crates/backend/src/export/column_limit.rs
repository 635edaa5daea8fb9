//! How many columns the backend takes: as it was set, until the backend says that it takes fewer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit below this is not believed: each record would be a request of its own.
const LEAST_COLUMNS: usize = 50;

/// The most columns of one stream in one request, as far as it is known; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ColumnLimit(Arc<AtomicUsize>);

impl ColumnLimit {
    /// The limit as it was set.
    pub(crate) fn new(columns: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(columns)))
    }

    /// Takes note of a limit that the backend named. True if the one that was known is higher.
    pub(super) fn learn(&self, columns: usize) -> bool {
        columns >= LEAST_COLUMNS && self.0.fetch_min(columns, Ordering::Relaxed) > columns
    }

    /// How many a request is given: a tenth less than the limit, for columns that newer versions of OpenObserve may add.
    pub(super) fn columns(&self) -> usize {
        let limit = self.0.load(Ordering::Relaxed);
        limit - limit / 10
    }
}
