//! Shared parts of the compared programs and of the benches: the workload, and the drivers.

#[cfg(feature = "forward-driver")]
pub mod forward;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(feature = "ours")]
mod workload;

use anyhow::Context as _;

#[cfg(feature = "ours")]
pub use workload::{Service, context_of, uuid};

/// A figure of `/proc/PROCESS/status`, in KiB.
pub fn memory_kib(process: &str, key: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
