//! Seeded schedules of faults over the whole path: in one process (the forwarder's no-loss property), and with real
//! processes.

mod deployment;
mod items;
pub(crate) mod processes;

use crate::checks::long_test;
use anyhow::{Context as _, bail};

/// Schedules of `cargo xtask chaos` without a number; the gate runs 200.
const SCHEDULES: u64 = 20_000;

/// Runs as many schedules as `--seeds` says, or the one of `--seed`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let number = |text: &str| text.parse().with_context(|| format!("{text:?} is not a number"));
    match arguments {
        [] => schedules("NO_LOSS_SCHEDULES", SCHEDULES),
        ["--seeds", seeds] => schedules("NO_LOSS_SCHEDULES", number(seeds)?),
        ["--seed", seed] => schedules("NO_LOSS_SEED", number(seed)?),
        ["--processes", seeds] => processes::run(0..number(seeds)?),
        ["--processes-seed", seed] => processes::run(std::iter::once(number(seed)?)),
        _ => bail!("unknown arguments; cargo xtask --help lists them"),
    }
}

pub(crate) fn schedules(variable: &str, number: u64) -> anyhow::Result<()> {
    let test = ["--package", "lambda-otlp-forwarder", "--test", "scenarios", "no_item_is_lost"];
    long_test(&test, variable, number).context("schedules failed; see above for their seeds")
}
