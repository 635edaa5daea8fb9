//! The configuration of a sink.

use std::time::Duration;

/// Who may write to the sink.
pub(super) struct User {
    /// `email:password`, as in Basic authorization.
    pub(super) credentials: String,
    pub(super) is_root: bool,
}

pub(super) struct Config {
    pub(super) users: Vec<User>,
    pub(super) organizations: Vec<String>,
    pub(super) strict_organizations: bool,
    pub(super) past: Duration,
    pub(super) future: Duration,
    pub(super) payload_limit: usize,
    pub(super) max_columns: usize,
    /// Concurrent requests lose the columns that they add.
    pub(super) racing_schemas: bool,
    /// Nanoseconds since 1970.
    pub(super) clock: Box<dyn Fn() -> u64 + Send + Sync>,
}
