//! Forwards an event again and again, and says how much CPU time of the whole process each time took.
//!
//! Arguments: the event's file, how often to forward it, and a file for the bodies of the last time. On stdout:
//! `rss_kib`, the process's peak memory before the event was read and at the end; `nanos`, the nanoseconds of each time.

use anyhow::{Context as _, bail};
use cpu_time::ProcessTime;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

pub struct Body<B> {
    pub signal: &'static str,
    pub bytes: B,
}

/// Forwards as the arguments say; `forward` takes the event's bytes as Lambda gives them.
pub fn run<B: AsRef<[u8]>>(
    mut forward: impl FnMut(&[u8]) -> anyhow::Result<Vec<Body<B>>>,
) -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(event), Some(times), Some(bodies)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("three arguments: event, times, file for the bodies");
    };
    let idle_kib = peak_kib()?;
    let event = std::fs::read(event).context("cannot read the event")?;
    let mut nanos = String::from("nanos");
    let mut last = Vec::new();
    for _ in 0..times.parse::<u32>().context("how often is no number")? {
        drop(last);
        let start = ProcessTime::now();
        last = forward(&event)?;
        write!(nanos, " {}", start.elapsed().as_nanos())?;
    }
    let peak_kib = peak_kib()?;
    let mut file = std::fs::File::create(PathBuf::from(bodies))?;
    for Body { signal, bytes } in last {
        writeln!(file, "{signal} {}", bytes.as_ref().len())?;
        file.write_all(bytes.as_ref())?;
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "rss_kib {idle_kib} {peak_kib}")?;
    writeln!(stdout, "{nanos}")?;
    Ok(())
}

fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("no /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmHWM")?;
    Ok(kib.parse()?)
}
