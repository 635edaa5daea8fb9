//! Our span exporter beside otlp-stdout-span-exporter of crates.io: bytes of a line, time of an export.
//!
//! `cargo bench -p lambda-otlp-bench --bench exporter`; with `-- --instructions` it counts instructions and
//! allocations under valgrind instead of measuring time. Each exporter is a program of its own. Both take turns in
//! fresh processes with the same spans, and their decoded output is compared.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

mod compare;
mod counts;
mod drivers;
mod figures;

use anyhow::{Context as _, bail};
use counts::Count;
use drivers::{Drivers, FreedMemory, Workload};
use figures::Figures;

const SPANS: [u64; 4] = [1, 3, 10, 100];
/// How often each exporter runs for each number of spans: one process, one service each time.
const ROUNDS: u64 = lambda_otlp_bench::SERVICES;

fn main() -> anyhow::Result<()> {
    let mut count_instructions = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--instructions" => count_instructions = true,
            other => bail!("unknown argument {other}; there is only --instructions"),
        }
    }
    let drivers = drivers::build()?;
    if count_instructions { instructions(&drivers) } else { times(&drivers) }
}

fn times(drivers: &Drivers) -> anyhow::Result<()> {
    println!(
        "{ROUNDS} rounds, interleaved, each in a fresh process. Line bytes: mean. Warm µs: the median export of the \
         quietest round, with malloc told to keep freed memory and as glibc does by default. First and second export of \
         a process, µs: median of the rounds.\n"
    );
    let headings = ["line bytes", "warm µs", "warm µs, default malloc", "first µs", "second µs"]
        .map(|what| format!("{what} | peer's | ratio"));
    println!("| spans | {} |", headings.join(" | "));
    println!("|{}", "---|".repeat(1 + 3 * headings.len()));
    for spans in SPANS {
        let (our_kept, peer_kept) = rounds(drivers, spans, FreedMemory::Kept)?;
        let (ours, peer) = rounds(drivers, spans, FreedMemory::Default)?;
        let cells = [
            figures::cells(ours.line_bytes(), peer.line_bytes(), 0),
            figures::cells(our_kept.warm_micros(), peer_kept.warm_micros(), 1),
            figures::cells(ours.warm_micros(), peer.warm_micros(), 1),
            figures::cells(ours.first_micros(), peer.first_micros(), 0),
            figures::cells(ours.second_micros(), peer.second_micros(), 0),
        ];
        println!("| {spans} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn rounds(
    drivers: &Drivers,
    spans: u64,
    freed_memory: FreedMemory,
) -> anyhow::Result<(Figures, Figures)> {
    let exports = if spans < 100 { 300 } else { 60 };
    let (mut ours, mut peer) = (Figures::default(), Figures::default());
    for round in 0..ROUNDS {
        let workload =
            Workload { service: round, spans, prepared: exports, exported: exports, freed_memory };
        // The machine is in another state for the second of two runs, so that they take turns at being first.
        let (our_run, peer_run) = if round % 2 == 0 {
            let our_run = drivers.ours.run(&workload)?;
            (our_run, drivers.peer.run(&workload)?)
        } else {
            let peer_run = drivers.peer.run(&workload)?;
            (drivers.ours.run(&workload)?, peer_run)
        };
        compare::same_spans(&workload, &our_run.lines, &peer_run.lines)
            .with_context(|| format!("{workload:?}"))?;
        ours.add(&our_run)?;
        peer.add(&peer_run)?;
    }
    Ok((ours, peer))
}

fn instructions(drivers: &Drivers) -> anyhow::Result<()> {
    println!(
        "An export, by callgrind and memcheck: (15 exports - 5 exports) / 10, mean of four services.\n"
    );
    println!("| spans | thousand instructions | peer's | ratio | allocations | peer's | ratio |");
    println!("|{}", "---|".repeat(7));
    for spans in SPANS {
        let of = |driver, count| counts::of_an_export(driver, spans, count);
        let ours = of(&drivers.ours, Count::Instructions)?;
        let peer = of(&drivers.peer, Count::Instructions)?;
        let instructions = figures::cells(ours / 1000.0, peer / 1000.0, 0);
        let ours = of(&drivers.ours, Count::Allocations)?;
        let peer = of(&drivers.peer, Count::Allocations)?;
        println!("| {spans} | {instructions} | {} |", figures::cells(ours, peer, 1));
    }
    Ok(())
}
