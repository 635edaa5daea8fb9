//! The table of states: the function's result, its billed time and its telemetry, with the layer and without.

use anyhow::ensure;
use lambda_otlp_bench::harness::{cell, median, millis, order};
use lambda_otlp_tests::simulation::states::{self, State, Step};
use lambda_otlp_tests::simulation::{Program, Simulation};
use std::collections::BTreeMap;

/// Steady traffic: the number of invocations of each kind in each environment.
const STEADY: usize = 50;

#[derive(Default)]
struct Outcome {
    labels: Vec<&'static str>,
    /// The milliseconds of the invocations of each label, without the layer and with it.
    millis: [BTreeMap<&'static str, Vec<f64>>; 2],
    differing: usize,
    /// With the layer only.
    acknowledged: usize,
    lost: usize,
}

/// Runs every state, and prints a row for each kind of its invocations.
pub(crate) async fn print(program: &Program, pairs: u64, names: &[String]) -> anyhow::Result<()> {
    println!(
        "| state, {pairs} pairs of environments | invocation | invocations | ms without | ms with | added | OTLP acknowledged / lost |"
    );
    println!("|{}", "---|".repeat(7));
    let mut lost = 0;
    let mut differing = 0;
    for state in states::measured(STEADY) {
        if names.is_empty() || names.iter().any(|name| state.name.contains(name.as_str())) {
            let outcome = run(program, &state, pairs).await;
            lost += outcome.lost;
            differing += outcome.differing;
            let [all_without, all_with] = &outcome.millis;
            for label in &outcome.labels {
                let without = &all_without[label];
                let with = &all_with[label];
                println!(
                    "| {} | {label} | {} | {} | {} | {:+.1} | {} / {} |",
                    state.name,
                    with.len(),
                    cell(without, 1),
                    cell(with, 1),
                    median(with) - median(without),
                    outcome.acknowledged,
                    outcome.lost,
                );
            }
        }
    }
    let text = "acknowledged spans are not in the log once, results differ";
    ensure!(lost + differing == 0, "{text}: {lost}, {differing}");
    Ok(())
}

/// Runs a state in pairs of environments. All pairs take each step together, so each pause is waited for once.
async fn run(program: &Program, state: &State, pairs: u64) -> Outcome {
    let mut simulations = Vec::new();
    for pair in 0..pairs {
        for place in order::<2>(pair) {
            simulations.push((place, Simulation::of(program, state, place == 1).await));
        }
    }
    let mut outcome = Outcome::default();
    for step in &state.steps {
        if let Step::Pause(pause) = step {
            tokio::time::sleep(*pause).await;
        }
        for (_, simulation) in &mut simulations {
            simulation.step(step).await;
        }
        if let Step::Invoke { label, .. } | Step::ExhaustMemory { label, .. } = step
            && !outcome.labels.contains(label)
            && !label.is_empty()
        {
            outcome.labels.push(label);
        }
    }
    let mut results = [Vec::new(), Vec::new()];
    for (place, simulation) in simulations {
        for (label, invocation) in simulation.invocations() {
            let init = invocation.init_duration.unwrap_or_default();
            let series = outcome.millis[place].entry(label).or_default();
            series.push(millis(invocation.duration + init));
        }
        results[place].push(simulation.results());
        let log = simulation.end(state.end).await;
        if place == 1 {
            outcome.acknowledged += log.acknowledged.len();
            outcome.lost += log.wrong.len();
        }
    }
    let [without, with] = results;
    outcome.differing = without.iter().zip(&with).filter(|(without, with)| without != with).count();
    outcome
}
