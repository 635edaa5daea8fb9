//! Sustained load on the forwarder and on the layer, as real processes in the local Lambda. Every log line and span has a number,
//! and each number must arrive as often as it was sent.

mod backend;
mod backlog;
mod curve;
mod forwarder;
mod layer;
mod telemetry;

use crate::checks;
use anyhow::{Context as _, bail, ensure};
use backend::Differences;
use curve::Curve;
use local_lambda::binaries::{self, EXTENSION};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECONDS: u64 = 60;

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    if let ["--invocations", number] = arguments {
        let number = number.parse().context("--invocations: not a number")?;
        let test = ["--package", "lambda-otlp-tests", "--test", "it", "growth"];
        return checks::long_test(&test, "GROWTH_INVOCATIONS", number);
    }
    let seconds = match arguments {
        [] => SECONDS,
        ["--seconds", number] => number.parse().context("--seconds: not a number")?,
        _ => bail!("unknown arguments; cargo xtask --help lists them"),
    };
    let duration = Duration::from_secs(seconds);
    let programs = programs(&checks::root()?)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start tokio")?;
    runtime.block_on(async {
        forwarder::sustained(&programs, &forwarder::ONE, duration).await?;
        forwarder::sustained(&programs, &forwarder::MANY, duration).await?;
        backlog::deliver_backlog(&programs).await?;
        layer::sustained(&programs, duration).await
    })
}

/// Forwarder, extension and the demo's function, as releases.
pub(crate) fn programs(root: &Path) -> anyhow::Result<HashMap<String, PathBuf>> {
    /// Link-time optimisation takes minutes, and changes little here.
    const SETTINGS: [&str; 2] = ["profile.release.lto='off'", "profile.release.codegen-units=16"];
    const BINARIES: [&str; 4] =
        ["lambda-otlp-forwarder", EXTENSION, "demo-function", "simulated-function"];
    let mut arguments = vec!["--release"];
    arguments.extend(SETTINGS.iter().flat_map(|setting| ["--config", setting]));
    arguments.extend(BINARIES.iter().flat_map(|binary| ["--bin", binary]));
    Ok(binaries::build_with(root, &arguments)?)
}

/// Runs of fewer seconds show no growth: the backlog's environments start and end during it.
const LONG_SECONDS: usize = 50;

/// Prints a row. Fails if a number is missing or repeated, or if the memory grew: its median, because it has peaks.
fn report(curve: &Curve, items: usize, differences: &Differences) -> anyhow::Result<()> {
    let Differences { missing, repeated } = differences;
    let Curve { name, unit, rates, memory } = curve;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let median = |part: &[f64]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    let (first_two_thirds, last_third) = memory.split_at(memory.len() * 2 / 3);
    let before = median(first_two_thirds.get(memory.len() / 3..).unwrap_or_default());
    let after = median(last_third);
    let most = memory.iter().copied().fold(0.0, f64::max);
    println!(
        "{name}: {} s, {mean:.1} {}, {items} items, {missing} missing, {repeated} repeated, {before:.0} MiB in the second \
         third, {after:.0} MiB in the last, at most {most:.0} MiB",
        rates.len(),
        unit.name
    );
    ensure!(missing + repeated == 0, "{name}: items are missing or repeated");
    let grows = rates.len() >= LONG_SECONDS && after > before * 1.05 + 1.0;
    ensure!(!grows, "{name}: its memory grows");
    Ok(())
}
