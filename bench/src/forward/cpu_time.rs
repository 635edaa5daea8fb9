//! CPU time of all threads of this process.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
