//! Checks who uses whom: which crate which other, and that no files of one crate use each other in a circle.

mod circles;
mod crates;

use anyhow::Context as _;
use serde_json::Value;
use std::process::Command;

/// Checks that each crate uses only those that the architecture allows.
pub(crate) fn check() -> anyhow::Result<()> {
    crates::check(&metadata()?)
}

/// Checks that no files of one crate use each other in a circle.
pub(crate) fn check_circles() -> anyhow::Result<()> {
    circles::check(&metadata()?)
}

fn metadata() -> anyhow::Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot run cargo metadata")?;
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}
