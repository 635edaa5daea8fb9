//! The configuration of a sink: users, limits, and memory.

use std::time::Duration;

/// Who may write to the sink.
pub(super) struct User {
    /// `email:password`, as in Basic authorization.
    pub(super) credentials: String,
    pub(super) is_root: bool,
}

/// The bounds of the sink's memory; it counts everything beyond them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) records: u64,
    pub(super) requests: usize,
    pub(super) body_bytes: usize,
    pub(super) oddities: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 2_000_000,
            requests: 100_000,
            body_bytes: 512 * 1024 * 1024,
            oddities: 10_000,
        }
    }
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
    pub(super) limits: Limits,
    /// Keys of dashboards that this server does not know.
    pub(super) unknown_keys: Vec<String>,
    /// Nanoseconds since 1970.
    pub(super) clock: Box<dyn Fn() -> u64 + Send + Sync>,
}
