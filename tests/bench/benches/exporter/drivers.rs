//! Builds and runs the two programs that export.

use anyhow::{Context as _, bail};
use lambda_otlp_bench::Service;
use lambda_otlp_bench::build::build_one;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Drivers {
    pub(crate) ours: Driver,
    pub(crate) peer: Driver,
}

pub(crate) struct Driver {
    path: PathBuf,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) service: u64,
    pub(crate) spans: u64,
    pub(crate) prepared: u64,
    pub(crate) exported: u64,
    pub(crate) freed_memory: FreedMemory,
}

/// malloc's treatment of freed memory. The peer allocates 300 KB of compression state for each export; by default
/// glibc may return it to the kernel and fetch it again page by page, depending on the rest of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreedMemory {
    /// As glibc decides.
    Default,
    /// The process keeps it, as one with a larger heap may.
    Kept,
}

pub(crate) struct Run {
    pub(crate) lines: Vec<String>,
    pub(crate) nanos: Vec<u64>,
}

/// Builds each driver alone, so that the features of common dependencies do not add up.
pub(crate) fn build() -> anyhow::Result<Drivers> {
    let ours = Driver { path: build_one("ours", "export-ours")? };
    let peer = Driver { path: build_one("peer", "export-peer")? };
    Ok(Drivers { ours, peer })
}

impl Driver {
    pub(crate) fn run(&self, workload: &Workload) -> anyhow::Result<Run> {
        let output = self.command(None, workload).output().context("cannot run the driver")?;
        if !output.status.success() {
            bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout).context("the driver wrote no UTF-8")?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let last = lines.pop().unwrap_or_default();
        let nanos = last.strip_prefix("nanos ").context("the driver said no times")?;
        let nanos = nanos.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Run { lines, nanos })
    }

    /// The driver under `wrapper` (program and arguments), in an environment that says nothing but the service's name,
    /// which the peer reads there.
    pub(crate) fn command(
        &self,
        wrapper: Option<(&Path, &[&str])>,
        workload: &Workload,
    ) -> Command {
        let mut command = match wrapper {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        let Workload { service, spans, prepared, exported, freed_memory } = *workload;
        command
            .args([service, spans, prepared, exported].map(|number| number.to_string()))
            .env_clear()
            .env("OTEL_SERVICE_NAME", Service::new(service).name)
            .stdin(Stdio::null());
        if freed_memory == FreedMemory::Kept {
            for threshold in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
                command.env(threshold, "100000000");
            }
        }
        command
    }
}
