//! CPU time of all threads of this process.

use std::time::Duration;

pub fn cpu_time() -> Duration {
    cpu_time::ProcessTime::now().as_duration()
}
