//! The levels of nested values that are read.

/// Levels of maps of spans and data points that are followed to their columns. OpenObserve flattens them down to the last level.
pub(crate) const MAP_LEVELS: usize = 16;

/// Levels of maps in log records that become columns; a map below becomes a column with JSON text (`ZO_INGEST_FLATTEN_LEVEL`).
pub(crate) const LOG_MAP_LEVELS: usize = 3;

/// Levels of maps whose entries are compared with the columns of OpenObserve and the resource: one more than log records have
/// columns of. Columns of spans and data points may have more.
pub(crate) const COMPARED_LEVELS: usize = LOG_MAP_LEVELS + 1;
