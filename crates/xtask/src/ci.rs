//! Runs the gate. The long form adds the demo by its own command, a function that aborts on panic, all property tests
//! and fuzz corpora over many more cases, and the released package of the stack.

use crate::checks::{Length, long_test};
use anyhow::{Context as _, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cases of each property; 256 are proptest's own number.
const LONG_CASES: u64 = 20_000;

/// Generated requests and damaged compact lines; the gate has hundreds and thousands.
const LONG_COMPACT_CASES: u64 = 1_000_000;

/// Changed inputs for each input of a fuzz corpus; the gate runs 30.
const LONG_CHANGES: u64 = 2000;

/// Schedules of faults for the no-loss property; the gate runs 2,000.
const LONG_SCHEDULES: u64 = 1_000_000;
const LONG_SCHEDULES_OF_PROCESSES: u64 = 50;

/// Invocations of each process that must not grow; the gate makes 1,200.
const LONG_INVOCATIONS: &str = "1000000";

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    succeed(Command::new("bash").arg(".ci/run").current_dir(&root))?;
    if length == Length::Long {
        demo(&root)?;
        let mut abort = Command::new("cargo");
        abort.args([
            "test",
            "--package",
            "lambda-otlp-tests",
            "--test",
            "abort",
            "--",
            "--ignored",
        ]);
        succeed(abort.current_dir(&root))?;
        long_test(&["--workspace", "--test", "properties"], "PROPTEST_CASES", LONG_CASES)?;
        let compact = ["--package", "lambda-otlp-wire", "--test", "compact"];
        long_test(&compact, "LAMBDA_OTLP_COMPACT_CASES", LONG_COMPACT_CASES)?;
        crate::chaos::schedules("NO_LOSS_SCHEDULES", LONG_SCHEDULES)?;
        crate::chaos::processes::run(0..LONG_SCHEDULES_OF_PROCESSES)?;
        crate::load::run(&["--invocations", LONG_INVOCATIONS])?;
        let fuzz = ["--package", "lambda-otlp-tests", "--test", "fuzz"];
        long_test(&fuzz, "FUZZ_CHANGES", LONG_CHANGES)?;
        crate::interop::run(length)?;
        crate::dist::run(crate::dist::What::Layer)?;
        crate::stack::run(length)?;
    }
    Ok(())
}

/// Runs the README's command; the gate runs the demo as a test.
fn demo(root: &Path) -> anyhow::Result<()> {
    succeed(Command::new("cargo").arg("demo").current_dir(root))?;
    let mut lossy = Command::new("cargo");
    lossy.args(["demo", "--lose", "1"]).current_dir(root);
    let output = lossy.output().with_context(|| format!("cannot run {lossy:?}"))?;
    let is_noticed = String::from_utf8_lossy(&output.stdout).contains("NOT BALANCED");
    ensure!(
        output.status.code() == Some(1) && is_noticed,
        "the demo did not notice a lost record: it ended with {}",
        output.status
    );
    Ok(())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
