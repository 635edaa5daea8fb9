//! Forwards an event again and again, and says how much CPU time of the whole process each time took.
//!
//! Arguments: the event's file, how often to forward it, and a file for the gzip bodies of the
//! traces of the last time. On stdout:
//! `rss_kib`, the process's peak memory before the event was read and at the end; `nanos`, the nanoseconds of each time.

use crate::memory_kib;
use anyhow::{Context as _, bail};
use cpu_time::ProcessTime;
use std::fmt::Write as _;
use std::io::Write as _;

/// Forwards as the arguments say; `forward` takes the event's bytes as Lambda gives them.
pub fn run<B: AsRef<[u8]>>(
    mut forward: impl FnMut(&[u8]) -> anyhow::Result<Vec<B>>,
) -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [event, times, bodies] = arguments.as_slice() else {
        bail!("three arguments: event, times, file for the bodies");
    };
    let idle_kib = memory_kib("self", "VmHWM:")?;
    let event = std::fs::read(event).context("cannot read the event")?;
    let mut nanos = String::from("nanos");
    let mut last = Vec::new();
    for _ in 0..times.parse::<u32>().context("how often is no number")? {
        drop(last);
        let start = ProcessTime::now();
        last = forward(&event)?;
        write!(nanos, " {}", start.elapsed().as_nanos())?;
    }
    let peak_kib = memory_kib("self", "VmHWM:")?;
    std::fs::write(bodies, last.iter().flat_map(AsRef::as_ref).copied().collect::<Vec<u8>>())?;
    writeln!(std::io::stdout(), "rss_kib {idle_kib} {peak_kib}\n{nanos}")?;
    Ok(())
}
