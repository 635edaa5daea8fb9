//! An event of a log group.

use crate::function::LOG_GROUPS;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// 56 decimal digits, unique and rising.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// With the line feed at its end, where the line had one.
    pub message: String,
    pub log_group: Arc<str>,
    pub log_stream: Arc<str>,
}

impl LogEvent {
    /// The name of the function that wrote it.
    pub fn function(&self) -> &str {
        self.log_group.strip_prefix(LOG_GROUPS).unwrap_or_default()
    }
}
