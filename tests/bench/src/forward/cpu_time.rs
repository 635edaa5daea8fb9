//! CPU time of all threads of this process.

use std::time::Duration;

/// What all threads have used since the process began.
pub fn cpu_time() -> Duration {
    cpu_time::ProcessTime::now().as_duration()
}
