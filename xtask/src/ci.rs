//! Runs the gate; in its long form also every property test over many more cases, and the stack's released package.

use crate::checks::Length;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cases of each property; 256 are proptest's own number.
const LONG_CASES: &str = "20000";

/// Schedules of faults that the forwarder is held against; the gate runs 10,000.
const LONG_SCHEDULES: &str = "1000000";

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    succeed(Command::new("bash").arg(".ci/run").current_dir(&root))?;
    if length == Length::Long {
        long_test(&root, &["--workspace", "--test", "properties"], "PROPTEST_CASES", LONG_CASES)?;
        let no_loss =
            ["--package", "lambda-otlp-forwarder", "--test", "scenarios", "no_loss_property"];
        long_test(&root, &no_loss, "NO_LOSS_SCHEDULES", LONG_SCHEDULES)?;
        crate::library::run(length)?;
        crate::stack::run(length)?;
    }
    Ok(())
}

fn long_test(root: &Path, which: &[&str], variable: &str, number: &str) -> anyhow::Result<()> {
    let mut test = Command::new("cargo");
    succeed(test.args(["test", "--release"]).args(which).current_dir(root).env(variable, number))
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
