//! The file descriptors of the process, which a function's connections must not use up: without one the extension can neither ask
//! Lambda for the next event nor send.

use crate::http::ConnectionLimits;
use rustix::process::{Resource, getrlimit};
use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// With so many descriptors, which AWS gives (1024), nothing has to be counted.
const PLENTY: u64 = 512;
/// The descriptors opened after the count: three listeners, X-Ray's socket, the connection to Lambda's API, and a file.
const OWN: usize = 6;
/// The descriptors of a flush: the connections of three signals and of unchanged events.
const OF_FLUSH: usize = 4;

/// Returns how many connections the process may accept.
pub(crate) fn connection_limits(sends: bool) -> ConnectionLimits {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let Some(limit) = usize::try_from(limit).ok().filter(|_| limit < PLENTY) else {
        return ConnectionLimits::of_descriptors(usize::MAX);
    };
    // The folder's own descriptor is one of them.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let needed = open + OWN + if sends { OF_FLUSH } else { 0 };
    ConnectionLimits::of_descriptors(limit.saturating_sub(needed))
}

/// A descriptor that is kept for the calls of Lambda's APIs.
#[derive(Debug, Default)]
pub(crate) struct SpareDescriptor(Mutex<Option<File>>);

impl SpareDescriptor {
    /// Occupies the descriptor again. Without a free one, the next call may find none.
    pub(crate) fn keep(&self) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = File::open("/dev/null").ok();
        }
    }

    /// Frees the descriptor for the call that follows at once.
    pub(crate) fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
