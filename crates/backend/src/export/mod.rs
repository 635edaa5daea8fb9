//! The delivery of a request: its decisions, its account, and the facts learned from earlier ones.

mod attempts;
mod column_limit;
mod new_columns;
mod outcome;
mod search;
mod waiting_part;

pub(crate) use attempts::{Attempts, BUDGET, Repeats, Step, Terms};
use new_columns::{KnownColumns, NewColumns};
pub use outcome::{Fate, Outcome, UndeliveredPart};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use wire::Request;

/// Lower limits are ignored, because each record would become a request of its own.
const LEAST_COLUMNS: usize = 50;

/// The lowest size limit to learn. With a lower one, nearly each record would become a request of its own.
const LEAST_BYTES: usize = 16 * 1024;

/// The maximum number of warnings to log. A backend may put a different number into each.
const MAX_WARNINGS: usize = 16;

/// OpenObserve's default of `ZO_COLS_PER_RECORD_LIMIT`. A lower limit stated by the backend wins.
const MAX_COLUMNS: usize = 1000;

/// Facts learned about a backend.
#[derive(Debug)]
pub(crate) struct Learned {
    max_columns: AtomicUsize,
    max_bytes: AtomicUsize,
    accepted_columns: Mutex<KnownColumns>,
    warnings: Mutex<Vec<String>>,
}

impl Learned {
    pub(crate) fn new() -> Self {
        Self {
            max_columns: AtomicUsize::new(MAX_COLUMNS),
            max_bytes: AtomicUsize::new(usize::MAX),
            accepted_columns: Mutex::default(),
            warnings: Mutex::default(),
        }
    }

    /// Notes a column limit that the backend stated. Returns `true` if it is lower than the known limit.
    pub(super) fn learn_max_columns(&self, columns: usize) -> bool {
        columns >= LEAST_COLUMNS && self.max_columns.fetch_min(columns, Ordering::Relaxed) > columns
    }

    /// The maximum number of columns of a request: a tenth below the limit, which leaves room for columns that newer versions of
    /// OpenObserve add.
    pub(super) fn column_limit(&self) -> usize {
        let limit = self.max_columns.load(Ordering::Relaxed);
        limit - limit / 10
    }

    /// Lowers the size limit of later requests, but not below [`LEAST_BYTES`].
    pub(super) fn learn_max_bytes(&self, bytes: usize) {
        self.max_bytes.fetch_min(bytes.max(LEAST_BYTES), Ordering::Relaxed);
    }

    /// The size limit of requests before compression; `usize::MAX` until the backend refuses one as too large.
    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// Returns the columns of the request that the backend has not accepted for this stream yet.
    pub(crate) fn new_columns(&self, stream: &[u8], request: &Request) -> NewColumns {
        self.with_columns(|known| known.new_in(stream, request))
    }

    /// Gives access to the columns that the backend has accepted.
    fn with_columns<T>(&self, with: impl FnOnce(&mut KnownColumns) -> T) -> T {
        // The set stays usable if another thread panics.
        with(&mut self.accepted_columns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a warning. Returns `true` if it is new, because a backend may repeat it with each request.
    pub(super) fn note_warning(&self, warning: &str) -> bool {
        // The list stays complete if another thread panics.
        let mut known = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.len() < MAX_WARNINGS && known.iter().all(|other| other != warning);
        if is_new {
            known.push(warning.to_owned());
        }
        is_new
    }
}
