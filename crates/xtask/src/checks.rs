//! Shared parts of the checks: their length, the output of other programs, events, and the clock.

use anyhow::{Context as _, bail, ensure};
use local_lambda::binaries;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};
use subscriber::FilteredLogEvent;

pub(crate) fn root() -> std::io::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()
}

pub(crate) fn locked_packages(root: &Path) -> anyhow::Result<Vec<Value>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root);
    let printed = output(&mut cargo)?;
    let metadata: Value = serde_json::from_slice(&printed.stdout).context("cargo metadata")?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    Ok(packages.cloned().unwrap_or_default())
}

/// Installs Rust's library for a target. Returns `false` if rustup cannot.
pub(crate) fn install_target(root: &Path, target: &str) -> bool {
    let added = Command::new("rustup").args(["target", "add", target]).current_dir(root).output();
    added.is_ok_and(|added| added.status.success())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Short,
    /// Also every property test over many more cases, and the package as it is released.
    Long,
}

/// Runs tests that read from this variable how many cases to run.
pub(crate) fn long_test(tests: &[&str], variable: &str, number: u64) -> anyhow::Result<()> {
    let mut cargo = Command::new("cargo");
    // Link-time optimisation takes minutes and saves seconds.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo.args(["test", "--release"]).args(tests).args(["--", "--nocapture"]);
    let status = cargo.env(variable, number.to_string()).current_dir(root()?).status()?;
    ensure!(status.success(), "{tests:?} ended with {status}");
    Ok(())
}

/// Runs a program to its end. If it fails, the error has the end of its output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Output> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&printed);
        let start = text.len().saturating_sub(2000);
        let end = text.get(text.ceil_char_boundary(start)..).unwrap_or_default();
        bail!("{} ended with {}: {end}", program(command), output.status);
    }
    Ok(output)
}

fn program(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[expect(clippy::disallowed_methods, reason = "where the checks read the clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn unix_nanos() -> u64 {
    let now = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes a layer below this folder as Lambda mounts it at `/opt`, with the extension alone.
pub(crate) fn layer(folder: &Path, programs: &HashMap<String, PathBuf>) -> anyhow::Result<PathBuf> {
    Ok(binaries::layer(folder, &binaries::find(programs, binaries::EXTENSION)?)?)
}

/// The event with which a subscription delivers these lines of this time.
pub(crate) fn delivery(log_group: &str, stream: &str, unix_nano: u64, lines: &[String]) -> Value {
    let timestamp_ms = i64::try_from(unix_nano / 1_000_000).unwrap_or_default();
    let events = (1..).zip(lines).map(|(id, message)| FilteredLogEvent {
        id: format!("{id:056}"),
        timestamp_ms,
        message: message.clone(),
        ..FilteredLogEvent::default()
    });
    subscriber::delivery("123456789012", log_group, stream, "all", &events.collect::<Vec<_>>())
}
