//! The cost of our library in the smallest function, compared with lambda-otel-lite of crates.io: bytes, setup, time of an
//! invocation.
//!
//! `cargo bench -p lambda-otlp-bench --bench function`. Each function is a program of its own, with a user's profile; the three
//! take turns, each time in a new environment of the local Lambda.

#![expect(clippy::print_stdout, reason = "the program prints its tables")]

use anyhow::{Context as _, ensure};
use lambda_otlp_bench::harness::{build, cell, load, median, millis};
use local_lambda::{FunctionSpec, Lambda};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROUNDS: usize = 12;
/// Invocations of each environment, and how many of them are left out first.
const INVOCATIONS: usize = 200;
const WARM_UP: usize = 20;
const MODES: [&str; 3] = ["sync", "async", "finalize"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let functions = [
        Function::build("without telemetry", "bare")?,
        Function::build("ours", "ours")?,
        Function::build("the peer's", "peer")?,
    ];
    println!("| function | bytes | more than without |\n|---|---|---|");
    let mut bare = None;
    for Function { name, path } in &functions {
        let bytes = path.metadata()?.len();
        println!("| {name} | {bytes} | {} |", bytes.saturating_sub(*bare.get_or_insert(bytes)));
    }
    println!(
        "\n{ROUNDS} environments of each, interleaved, {INVOCATIONS} invocations of each; load {}.\n",
        load()
    );
    println!("| mode | function | median duration, ms | more than without |\n|---|---|---|---|");
    let mut setup = [const { Vec::new() }; 3];
    for mode in MODES {
        let mut durations = [const { Vec::new() }; 3];
        for round in 0..ROUNDS {
            let mut all: Vec<_> = functions.iter().zip(&mut durations).zip(&mut setup).collect();
            let all_functions = all.len();
            // The machine is in another state for the second than for the first: they take turns at that.
            all.rotate_left(round % all_functions);
            for ((function, durations), setup) in all {
                let set_up = environment(&function.path, mode, durations).await;
                setup.push(set_up.with_context(|| format!("{}, {mode}", function.name))?);
            }
        }
        let [bare, ours, peers] = durations.map(|own| median(&own));
        for (Function { name, .. }, median) in functions.iter().zip([bare, ours, peers]) {
            println!("| {mode} | {name} | {median:.3} | {:.3} |", median - bare);
        }
    }
    let [_, ours, peers] = &setup;
    println!(
        "\n`init_telemetry` µs, shortest / median of {}: ours {}, the peer's {}.",
        ours.len(),
        cell(ours, 0),
        cell(peers, 0)
    );
    println!("Load {} at the end.", load());
    Ok(())
}

struct Function {
    name: &'static str,
    path: PathBuf,
}

impl Function {
    /// Builds the program with this feature, and keeps it under the feature's name.
    fn build(name: &'static str, feature: &str) -> anyhow::Result<Self> {
        let manifest = ["--release", "--locked", "--manifest-path", "function/Cargo.toml"];
        let built = build(&[&manifest[..], &["--features", feature]].concat(), "function")?;
        let path = built.with_file_name(format!("function-{feature}"));
        std::fs::copy(built, &path)?;
        Ok(Self { name, path })
    }
}

/// One environment. Returns how long it took to set its telemetry up, in microseconds.
async fn environment(function: &Path, mode: &str, durations: &mut Vec<f64>) -> anyhow::Result<f64> {
    let lambda = Lambda::start().await?;
    // The peer's log level; without this variable it makes no spans.
    let spec = FunctionSpec::new("function", function)
        .init_timeout(Duration::from_mins(1))
        .env("RUST_LOG", "info")
        .env("LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE", mode);
    lambda.create_function(spec)?;
    let mut setup = 0.0;
    for number in 0..INVOCATIONS {
        let invocation = lambda.invoke("function", "{}").await?;
        let response = invocation.response().context("no response")?;
        let answered: Value = serde_json::from_slice(response)?;
        setup = answered.get("setup_us").and_then(Value::as_f64).context("no setup_us")?;
        if number >= WARM_UP {
            durations.push(millis(invocation.duration));
        }
    }
    lambda.recycle("function").await?;
    let lines = lambda
        .log_events("function")
        .iter()
        .filter(|event| event.message.contains("\"__otel_otlp_stdout\""))
        .count();
    let is_bare = function.ends_with("function-bare");
    ensure!(is_bare == (lines == 0), "{lines} lines");
    lambda.shut_down().await;
    Ok(setup)
}
