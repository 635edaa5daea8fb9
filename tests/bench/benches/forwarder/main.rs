//! The forwarder beside crates.io's serverless-otlp-forwarder-core: CPU time, memory, size, start.
//!
//! `cargo bench -p lambda-otlp-bench --bench forwarder`; with `-- --instructions` it counts instructions under
//! valgrind instead. Each forwarder is a program of its own. They take turns in fresh processes with the same event,
//! and their sent spans are compared.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

mod compare;
mod drivers;
mod events;
mod start;

use anyhow::{Context as _, bail, ensure};
use drivers::{Driver, Drivers, Run};
use events::Event;
use lambda_otlp_bench::build;
use std::path::{Path, PathBuf};

const ROUNDS: u32 = 25;
const TIMES: u32 = 6;
const STARTS: u32 = 25;

fn main() -> anyhow::Result<()> {
    let what = std::env::args().skip(1).find(|argument| argument != "--bench");
    let drivers = drivers::build()?;
    let directory = std::env::temp_dir().join(format!("forwarder-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let bench = Bench { drivers, directory };
    let done = match what.as_deref() {
        None => bench.times().and_then(|()| bench.memory()).and_then(|()| start_and_size()),
        Some("--instructions") => bench.instructions(),
        Some(other) => bail!("unknown argument {other}; there is only --instructions"),
    };
    std::fs::remove_dir_all(&bench.directory)?;
    done
}

struct Bench {
    drivers: Drivers,
    directory: PathBuf,
}

impl Bench {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, event: &Event) -> anyhow::Result<PathBuf> {
        let path = self.file("event.json");
        std::fs::write(&path, &event.bytes)?;
        Ok(path)
    }

    fn times(&self) -> anyhow::Result<()> {
        println!(
            "CPU time of all threads, ms an event: the fastest of {ROUNDS} interleaved rounds of {TIMES}, each round in a \
             fresh process; first: the first event of a process, fastest of the rounds.\n"
        );
        println!(
            "| event | ours | peer's | ratio | first: ours | peer's | ratio | sent: ours | peer's |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for event in [events::otlp_only()?, events::mixed()?] {
            let path = self.write(&event)?;
            let (our_file, peer_file) = (self.file("ours"), self.file("peer"));
            let (mut ours, mut peer) = (Best::default(), Best::default());
            for round in 0..ROUNDS {
                let mut run_ours = || ours.add(&self.drivers.ours.run(&path, TIMES, &our_file)?);
                let mut run_peer = || peer.add(&self.drivers.peer.run(&path, TIMES, &peer_file)?);
                // The machine is in another state for the second of two runs, so that they take turns at being first.
                if round % 2 == 0 {
                    run_ours()?;
                    run_peer()?;
                } else {
                    run_peer()?;
                    run_ours()?;
                }
            }
            let (our_bodies, peer_bodies) =
                (drivers::bodies(&our_file)?, drivers::bodies(&peer_file)?);
            compare::same_spans(event.spans, &our_bodies, &peer_bodies)?;
            let sent = |bodies: &drivers::Bodies| bodies.iter().map(|body| body.1).sum::<usize>();
            println!(
                "| {} | {} | {} | {} | {} |",
                event.name,
                cells(ours.nanos, peer.nanos),
                cells(ours.first_nanos, peer.first_nanos),
                sent(&our_bodies),
                sent(&peer_bodies),
            );
            let [traces, metrics, logs] = compare::items(&our_bodies)?;
            println!(
                "\n{}: {} B, {} log events, inflates to {} B. Ours sent {traces} spans, {metrics} data points, {logs} log \
                 records.\n",
                event.name,
                event.bytes.len(),
                event.log_events,
                event.inflated_bytes,
            );
        }
        self.compact()
    }

    /// Compares compact lines with OTLP lines of the same spans.
    fn compact(&self) -> anyhow::Result<()> {
        let (compact, standard) = (events::compact()?, events::otlp_only()?);
        let (mut of_compact, mut of_standard) = (Best::default(), Best::default());
        for _ in 0..ROUNDS {
            for (event, best) in [(&compact, &mut of_compact), (&standard, &mut of_standard)] {
                best.add(&self.drivers.ours.run(
                    &self.write(event)?,
                    TIMES,
                    &self.file("ours"),
                )?)?;
            }
        }
        println!("\n| the same spans | compact lines | OTLP lines | ratio |\n|---|---|---|---|");
        println!("| CPU time | {} |", cells(of_compact.nanos, of_standard.nanos));
        Ok(())
    }

    fn memory(&self) -> anyhow::Result<()> {
        println!("Peak memory above idle of a process that forwards one event, MiB.\n");
        println!("| event | bytes | inflated | ours | peer's |");
        println!("|---|---|---|---|---|");
        for event in
            [events::otlp_only()?, events::compact()?, events::mixed()?, events::thirty_fold()?]
        {
            let path = self.write(&event)?;
            let mib = |driver: &Driver| -> anyhow::Result<String> {
                let runs = (0..5).map(|_| driver.run(&path, 1, &self.file("bodies")));
                let runs: anyhow::Result<Vec<Run>> = runs.collect();
                let most = runs?.iter().map(|run| run.peak_kib - run.idle_kib).max();
                Ok(format!("{:.1}", float(most.unwrap_or_default()) / 1024.0))
            };
            // The peer sends no request where there is no OTLP line.
            let (ours, peer) = (mib(&self.drivers.ours)?, mib(&self.drivers.peer)?);
            let Event { name, bytes, inflated_bytes, .. } = &event;
            println!("| {name} | {} | {inflated_bytes} | {ours} | {peer} |", bytes.len());
        }
        println!();
        Ok(())
    }

    fn instructions(&self) -> anyhow::Result<()> {
        println!("Million instructions an event: callgrind, (4 events - 2 events) / 2.\n");
        println!("| event | ours | peer's | ratio |");
        println!("|---|---|---|---|");
        for event in [events::otlp_only()?, events::mixed()?] {
            let path = self.write(&event)?;
            let of_an_event = |driver: &Driver| -> anyhow::Result<u64> {
                Ok((self.count(driver, &path, 4)? - self.count(driver, &path, 2)?) / 2)
            };
            let (ours, peer) = (of_an_event(&self.drivers.ours)?, of_an_event(&self.drivers.peer)?);
            println!("| {} | {} |", event.name, cells(ours, peer));
        }
        Ok(())
    }

    fn count(&self, driver: &Driver, event: &Path, times: u32) -> anyhow::Result<u64> {
        let valgrind: (&str, &[&str]) =
            ("valgrind", &["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        let mut command = driver.command(Some(valgrind), event, times, &self.file("bodies"));
        let output = command.env("PATH", "/usr/local/bin:/usr/bin:/bin").output();
        let output = output.context("cannot run valgrind")?;
        let report = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "valgrind: {report}");
        let (_, collected) = report.rsplit_once("Collected :").context("nothing was counted")?;
        Ok(collected.lines().next().unwrap_or_default().trim().parse()?)
    }
}

fn start_and_size() -> anyhow::Result<()> {
    let arguments = ["--profile", "release", "-p", "lambda-otlp-forwarder", "--bins"];
    let forwarder = build::build(&arguments, "lambda-otlp-forwarder")?;
    let bytes = std::fs::metadata(&forwarder)?.len();
    let start = start::shortest_start(&forwarder, STARTS)?;
    println!(
        "The forwarder: {bytes} bytes; {:.1} ms from process start to the first `next`, shortest of {STARTS}.",
        start.as_secs_f64() * 1000.0
    );
    Ok(())
}

#[derive(Default)]
struct Best {
    nanos: u64,
    first_nanos: u64,
}

impl Best {
    fn add(&mut self, run: &Run) -> anyhow::Result<()> {
        ensure!(run.nanos > 0, "no time passed");
        let best = |best: &mut u64, new| *best = if *best == 0 { new } else { new.min(*best) };
        best(&mut self.nanos, run.nanos);
        best(&mut self.first_nanos, run.first_nanos);
        Ok(())
    }
}

fn cells(ours: u64, peer: u64) -> String {
    format!("{:.2} | {:.2} | {:.3}", millis(ours), millis(peer), float(ours) / float(peer))
}

fn millis(nanos: u64) -> f64 {
    float(nanos) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
