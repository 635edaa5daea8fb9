//! What the extension does when it is time to.

use super::invocations::Completed;
use std::fmt;

type Write = dyn Fn(&[Completed]) + Send + Sync;

/// What the extension does when it is time to; nothing of it panics.
pub(crate) struct Actions {
    /// Writes what these invocations have made.
    pub(crate) write: Box<Write>,
    /// Writes all that is left at the end of the environment, for a bounded time.
    pub(crate) end: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Actions")
    }
}
