//! Runs the gate; in its long form also every property test over many more cases, and the stack's released package.

use anyhow::{Context as _, bail};
use std::path::PathBuf;
use std::process::Command;

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// What must pass before anything lands.
    Short,
    /// The gate, then the property tests with [`LONG_CASES`] and the package as it is released.
    Long,
}

/// Cases of each property; 256 are proptest's own number.
const LONG_CASES: &str = "20000";

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    succeed(Command::new("bash").arg(".ci/run").current_dir(&root))?;
    if length == Length::Long {
        let tests = ["test", "--release", "--workspace", "--test", "properties"];
        succeed(
            Command::new("cargo").args(tests).current_dir(&root).env("PROPTEST_CASES", LONG_CASES),
        )?;
        crate::stack::run(length)?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
