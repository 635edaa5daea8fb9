//! The cost of our library in the smallest function, beside lambda-otel-lite of crates.io: bytes, setup, time of an
//! invocation.
//!
//! `cargo bench -p lambda-otlp-bench --bench function`. Each function is a program of its own, with a user's profile; the three
//! take turns, each time in a new environment of the local Lambda.

#![expect(clippy::print_stdout, reason = "the program prints its tables")]

use anyhow::{Context as _, bail, ensure};
use lambda_otlp_bench::build::build;
use lambda_otlp_bench::series::{Series, load};
use serde_json::Value;
use simulator::{FunctionSpec, Lambda};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROUNDS: usize = 12;
/// Invocations of each environment, and how many of them are left out first.
const INVOCATIONS: usize = 200;
const WARM_UP: usize = 20;
const MODES: [&str; 3] = ["sync", "async", "finalize"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    for argument in std::env::args().skip(1) {
        // Cargo adds it.
        if argument != "--bench" {
            bail!("unknown argument {argument}");
        }
    }
    let functions = [
        Function::build("without telemetry", "bare")?,
        Function::build("ours", "ours")?,
        Function::build("the peer's", "peer")?,
    ];
    sizes(&functions)?;
    println!(
        "\n{ROUNDS} environments of each, interleaved, {INVOCATIONS} invocations of each; load {}.\n",
        load()
    );
    println!(
        "| mode | function | response ms: p50, p99 | more than without | duration ms: p50, p99 | more than without |"
    );
    println!("|{}", "---|".repeat(6));
    let mut setup = [(); 3].map(|()| Series::default());
    for mode in MODES {
        let mut sides = [(); 3].map(|()| Side::default());
        for round in 0..ROUNDS {
            let mut all: Vec<_> = functions.iter().zip(&mut sides).zip(&mut setup).collect();
            let all_functions = all.len();
            // The machine is in another state for the second than for the first: they take turns at that.
            all.rotate_left(round % all_functions);
            for ((function, side), setup) in all {
                let set_up = environment(&function.path, mode, side).await;
                setup.push(set_up.with_context(|| format!("{}, {mode}", function.name))?);
            }
        }
        let [bare, ..] = &sides;
        for (Function { name, .. }, side) in functions.iter().zip(&sides) {
            let response = cells(&side.response, &bare.response);
            println!(
                "| {mode} | {name} | {response} | {} |",
                cells(&side.duration, &bare.duration)
            );
        }
    }
    let [_, ours, peers] = &setup;
    println!(
        "\n`init_telemetry` µs, shortest / median of {}: ours {}, the peer's {}.",
        ours.count(),
        ours.cell(0),
        peers.cell(0)
    );
    println!("Load {} at the end.", load());
    Ok(())
}

struct Function {
    name: &'static str,
    path: PathBuf,
}

/// How long invocations took, in milliseconds.
#[derive(Default)]
struct Side {
    response: Series,
    duration: Series,
}

impl Function {
    fn build(name: &'static str, feature: &str) -> anyhow::Result<Self> {
        let binary = format!("function-{feature}");
        let manifest = ["--release", "--locked", "--manifest-path", "function/Cargo.toml"];
        let arguments = [&manifest[..], &["--features", feature, "--bin", &binary]].concat();
        Ok(Self { name, path: build(&arguments, &binary)? })
    }
}

fn cells(of: &Series, bare: &Series) -> String {
    let (p50, p99) = (of.quantile(0.5), of.quantile(0.99));
    let more = (p50 - bare.quantile(0.5), p99 - bare.quantile(0.99));
    format!("{p50:.3}, {p99:.3} | {:.3}, {:.3}", more.0, more.1)
}

fn sizes(functions: &[Function; 3]) -> anyhow::Result<()> {
    println!("| function | bytes | more than without |");
    println!("|---|---|---|");
    let [bare, ..] = functions;
    let bare = bare.path.metadata()?.len();
    for Function { name, path } in functions {
        let bytes = path.metadata()?.len();
        println!("| {name} | {bytes} | {} |", bytes.saturating_sub(bare));
    }
    Ok(())
}

/// One environment; how long it took to set its telemetry up, in microseconds.
async fn environment(function: &Path, mode: &str, side: &mut Side) -> anyhow::Result<f64> {
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
            side.response.push_millis(invocation.response_latency.context("no latency")?);
            side.duration.push_millis(invocation.duration);
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
