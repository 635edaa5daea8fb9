//! Our span exporter beside otlp-stdout-span-exporter of crates.io: bytes of a line, time of an export.
//!
//! `cargo bench -p lambda-otlp-bench --bench exporter`. Each exporter is a program of its own. Both take turns in fresh
//! processes with the same spans, and their decoded output is compared.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

#[path = "../common/spans.rs"]
mod spans;

use anyhow::{Context as _, bail, ensure};
use lambda_otlp_bench::Service;
use lambda_otlp_bench::harness::{Series, build_one, float, in_turns, output_of};
use std::path::Path;
use std::process::Command;
use wire::{Limits, Request};

const SPANS: [u64; 2] = [3, 100];
/// How often each exporter runs for each number of spans: one process, one service each time.
const ROUNDS: u64 = lambda_otlp_bench::SERVICES;
/// How many exports of a process are left out, until caches, allocator and compression state no longer change.
const WARM_UP: usize = 20;
/// Decoding all lines would take longer than writing them.
const COMPARED_LINES: usize = 5;

fn main() -> anyhow::Result<()> {
    println!(
        "{ROUNDS} rounds, interleaved, each in a fresh process. Line bytes: mean. Warm µs: the median export of the \
         quietest round. First export of a process, µs: median of the rounds.\n"
    );
    let headings =
        ["line bytes", "warm µs", "first µs"].map(|what| format!("{what} | peer's | ratio"));
    println!("| spans | {} |", headings.join(" | "));
    println!("|{}", "---|".repeat(1 + 3 * headings.len()));
    let programs = [build_one("ours", "export-ours")?, build_one("peer", "export-peer")?];
    for spans in SPANS {
        let [mut ours, mut peer] = [Figures::default(), Figures::default()];
        for round in 0..ROUNDS {
            let runs = in_turns(round, &programs, |program| export(program, round, spans))?;
            let [our_lines, peer_lines] = runs.each_ref().map(|run| requests(&run.lines));
            spans::are_equal(spans * COMPARED_LINES as u64, &our_lines?, &peer_lines?)?;
            let [our_run, peer_run] = runs;
            ours.add(&our_run)?;
            peer.add(&peer_run)?;
        }
        let cells = [
            cells(ours.line_bytes.mean(), peer.line_bytes.mean(), 0),
            cells(ours.warm.min(), peer.warm.min(), 1),
            cells(ours.first.median(), peer.first.median(), 0),
        ];
        println!("| {spans} | {} |", cells.join(" | "));
    }
    Ok(())
}

struct Run {
    lines: Vec<String>,
    micros: Vec<f64>,
}

/// Runs a driver in an environment that has the service's name, which the peer reads there. malloc keeps what is freed, as in a
/// process with a larger heap. This favours the peer, which allocates 300 KB of compression state for each export.
fn export(program: &Path, service: u64, spans: u64) -> anyhow::Result<Run> {
    let exports = if spans < 100 { 300 } else { 60 };
    let mut command = Command::new(program);
    command
        .args([service, spans, exports].map(|number| number.to_string()))
        .env_clear()
        .env("OTEL_SERVICE_NAME", Service::new(service).name)
        .envs(["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].map(|name| (name, "100000000")));
    let text = output_of(&mut command)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap_or_default();
    let nanos = last.strip_prefix("nanos ").context("the driver said no times")?;
    let micros = nanos.split(' ').map(|nanos| Ok(float(nanos.parse()?) / 1000.0));
    let micros = micros.collect::<anyhow::Result<_>>()?;
    ensure!(lines.len() as u64 == exports, "{} lines of {exports} exports", lines.len());
    Ok(Run { lines, micros })
}

/// The requests of the first lines.
fn requests(lines: &[String]) -> anyhow::Result<Vec<Request>> {
    let mut requests = Vec::new();
    for line in lines.iter().take(COMPARED_LINES) {
        let reading = wire::read_line(line, &Limits::default()).context("no OTLP line")?;
        requests.extend(reading.decoded);
    }
    Ok(requests)
}

#[derive(Default)]
struct Figures {
    line_bytes: Series,
    first: Series,
    /// The median of each round.
    warm: Series,
}

impl Figures {
    fn add(&mut self, run: &Run) -> anyhow::Result<()> {
        self.line_bytes.extend(run.lines.iter().map(|line| float(line.len() as u64)));
        let [first, ..] = *run.micros else { bail!("no export") };
        self.first.push(first);
        let mut warm = Series::default();
        warm.extend(run.micros.iter().skip(WARM_UP).copied());
        self.warm.push(warm.median());
        Ok(())
    }
}

fn cells(ours: f64, peer: f64, digits: usize) -> String {
    format!("{ours:.digits$} | {peer:.digits$} | {:.2}", ours / peer)
}
