//! CPU time of all threads of this process.

use std::time::Duration;

/// The CPU time of all threads since the process began.
pub fn cpu_time() -> Duration {
    cpu_time::ProcessTime::now().as_duration()
}
