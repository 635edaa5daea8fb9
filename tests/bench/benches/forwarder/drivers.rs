//! Builds and runs the programs that forward.

use anyhow::{Context as _, bail};
use lambda_otlp_bench::build::{self, build_one};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Drivers {
    pub(crate) ours: Driver,
    pub(crate) peer: Driver,
}

pub(crate) struct Driver {
    path: PathBuf,
}

pub(crate) struct Run {
    pub(crate) nanos: u64,
    pub(crate) first_nanos: u64,
    pub(crate) idle_kib: u64,
    pub(crate) peak_kib: u64,
}

/// The bodies that a forwarder sent, inflated, with their signals and compressed sizes.
pub(crate) type Bodies = Vec<(String, usize, Vec<u8>)>;

pub(crate) fn build() -> anyhow::Result<Drivers> {
    let peer = ["--release", "--manifest-path", "forward-peer/Cargo.toml"];
    let peer = Driver { path: build::build(&peer, "forward-peer")? };
    Ok(Drivers { ours: Driver { path: build_one("forward-ours", "forward-ours")? }, peer })
}

impl Driver {
    /// Forwards an event so often in a process of its own, and leaves the bodies in a file.
    pub(crate) fn run(&self, event: &Path, times: u32, bodies: &Path) -> anyhow::Result<Run> {
        let output = self.command(None, event, times, bodies).output()?;
        let report = report(output)?;
        let numbers = |name: &str| -> anyhow::Result<Vec<u64>> {
            let line = report.lines().find_map(|line| line.strip_prefix(name));
            let numbers = line.with_context(|| format!("the driver said no {name}"))?;
            Ok(numbers.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
        };
        let nanos = numbers("nanos")?;
        let [idle_kib, peak_kib] = *numbers("rss_kib")? else { bail!("not two memory figures") };
        let first_nanos = *nanos.first().context("no times")?;
        let nanos = nanos.into_iter().min().unwrap_or(first_nanos);
        Ok(Run { nanos, first_nanos, idle_kib, peak_kib })
    }

    /// The driver under `wrapper`, a program and its arguments, in an empty environment.
    pub(crate) fn command(
        &self,
        wrapper: Option<(&str, &[&str])>,
        event: &Path,
        times: u32,
        file: &Path,
    ) -> Command {
        let mut command = match wrapper {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        command.arg(event).arg(times.to_string()).arg(file).env_clear();
        command.env("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:9/api/default");
        command
    }
}

fn report(output: std::process::Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Reads a driver's bodies: a line with signal and length, and the body.
pub(crate) fn bodies(file: &Path) -> anyhow::Result<Bodies> {
    const MOST_BYTES: usize = 1 << 30;
    let mut rest = std::fs::read(file)?;
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').context("a body without head")?;
        let behind = rest.split_off(end + 1);
        let head = String::from_utf8(rest)?;
        let (signal, length) = head.trim_end().split_once(' ').context("no length")?;
        let length = length.parse()?;
        let (body, left) = behind.split_at_checked(length).context("a body is cut")?;
        let inflated = wire::gzip::inflate(body, MOST_BYTES)?;
        bodies.push((signal.to_owned(), length, inflated));
        rest = left.to_vec();
    }
    Ok(bodies)
}
