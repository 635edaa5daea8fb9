//! The actions of the extension.

use super::invocations::Completed;
use std::fmt;

type Write = dyn Fn(&[Completed]) + Send + Sync;

/// The actions of the extension; none of them panics.
pub(crate) struct Actions {
    pub(crate) write: Box<Write>,
    /// Writes everything at the end of the environment, within bounded time.
    pub(crate) end: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Actions")
    }
}
