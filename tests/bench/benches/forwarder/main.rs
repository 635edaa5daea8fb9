//! The forwarder compared with crates.io's serverless-otlp-forwarder-core: CPU time, memory, size, start.
//!
//! `cargo bench -p lambda-otlp-bench --bench forwarder`. Each forwarder is a program of its own. They take turns in fresh
//! processes with the same event, and their sent spans are compared.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

mod events;
mod rules;

use anyhow::{Context as _, bail, ensure};
use events::Event;
use lambda_otlp_bench::harness::{build, float, in_turns, max, median, millis, min};
use local_lambda::{FunctionSpec, Lambda};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::path::{Path, PathBuf};
use std::process::Command;
use wire::{Limits, Request, SignalKind, Traces};

const ROUNDS: u64 = 25;
const TIMES: u32 = 6;
const STARTS: u32 = 25;

fn main() -> anyhow::Result<()> {
    let peer = ["--release", "--manifest-path", "forward-peer/Cargo.toml"];
    // Alone, so that the features of common dependencies do not add up.
    let ours = [
        "--release",
        "--no-default-features",
        "--features",
        "forward-ours",
        "--bin",
        "forward-ours",
    ];
    let programs = [build(&ours, "forward-ours")?, build(&peer, "forward-peer")?];
    let directory = tempfile::tempdir()?;
    let bench = Bench { programs, event: directory.path().join("event.json") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        bench.times().await?;
        bench.rules().await?;
        bench.memory()?;
        start_and_size().await
    })
}

struct Bench {
    programs: [PathBuf; 2],
    event: PathBuf,
}

impl Bench {
    async fn times(&self) -> anyhow::Result<()> {
        println!(
            "CPU time of all threads, ms an event: the fastest of {ROUNDS} interleaved rounds of {TIMES}, each round in a \
             fresh process.\n\n| event | ours | peer's | ratio |\n|---|---|---|---|"
        );
        for event in [events::otlp_only()?, events::mixed()?] {
            std::fs::write(&self.event, &event.bytes)?;
            let run = async |program: &PathBuf| self.run(program, None, TIMES);
            let mut runs = in_turns(ROUNDS, &self.programs, run).await?;
            println!("| {} | {} |", event.name, cells(&runs));
            let [ours, peer] = runs.each_mut().map(|runs| runs.swap_remove(0).traces());
            ensure_equal(event.spans, &ours?, &peer?)?;
        }
        // Compact lines compared with OTLP lines of the same spans.
        let [ours, _] = &self.programs;
        let events = [events::compact()?, events::otlp_only()?];
        let run = async |event: &Event| {
            std::fs::write(&self.event, &event.bytes)?;
            self.run(ours, None, TIMES)
        };
        let runs = in_turns(ROUNDS, &events, run).await?;
        println!("\n| the same spans | compact lines | OTLP lines | ratio |\n|---|---|---|---|");
        println!("| CPU time | {} |\n", cells(&runs));
        Ok(())
    }

    /// Fails if four times the rules cost more than four times the time, but for the noise of a busy machine.
    async fn rules(&self) -> anyhow::Result<()> {
        const MAX_GROWTH: f64 = 6.0;
        const NOISE_MS: f64 = 1.0;
        println!("CPU time with rules, ms an event.\n");
        println!("| event | rules | with | without | ratio |\n|---|---|---|---|---|");
        let [ours, _] = &self.programs;
        let file = self.event.with_extension("toml");
        let run =
            async |has_rules: &bool| self.run(ours, has_rules.then_some(file.as_path()), TIMES);
        for event in [events::otlp_only()?, events::mixed()?] {
            std::fs::write(&self.event, &event.bytes)?;
            for rules in rules::all() {
                let added = async |text: &str| {
                    std::fs::write(&file, text)?;
                    let runs = in_turns(ROUNDS, &[true, false], run).await?;
                    let [with, without] = runs.each_ref().map(|runs| best(runs));
                    anyhow::Ok((with - without, cells(&runs)))
                };
                let (of_all, cells) = added(&rules.text).await?;
                println!("| {} | {} | {cells} |", event.name, rules.name);
                if let Some(quarter) = &rules.quarter {
                    let (of_quarter, _) = added(quarter).await?;
                    let most = MAX_GROWTH * of_quarter.max(0.0) + NOISE_MS;
                    ensure!(of_all <= most, "{}: {of_quarter} ms become {of_all}", rules.name);
                }
            }
        }
        println!();
        Ok(())
    }

    fn memory(&self) -> anyhow::Result<()> {
        println!("Peak memory above idle of a process that forwards one event, MiB.\n");
        println!("| event | bytes | inflated | ours | peer's | ratio |\n|---|---|---|---|---|---|");
        for event in [events::otlp_only()?, events::mixed()?, events::thirty_fold()] {
            std::fs::write(&self.event, &event.bytes)?;
            let most = |program: &PathBuf| {
                let runs = (0..5).map(|_| Ok(self.run(program, None, 1)?.mib));
                anyhow::Ok(max(runs.collect::<anyhow::Result<Vec<f64>>>()?))
            };
            let [our_program, peer_program] = &self.programs;
            let ours = most(our_program)?;
            let peer = most(peer_program)?;
            let Event { name, bytes, inflated_bytes, .. } = &event;
            let ratio = ours / peer;
            println!(
                "| {name} | {} | {inflated_bytes} | {ours:.1} | {peer:.1} | {ratio:.2} |",
                bytes.len()
            );
        }
        Ok(())
    }

    /// Forwards the event so often in a process of its own.
    fn run(&self, program: &Path, rules: Option<&Path>, times: u32) -> anyhow::Result<Run> {
        let file = self.event.with_extension("bodies");
        let mut command = Command::new(program);
        command.arg(&self.event).arg(times.to_string()).arg(&file).env_clear();
        command.env("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:9/api/default");
        command.envs(rules.map(|rules| ("LAMBDA_OTLP_RULES", rules)));
        let output = command.output().context("cannot run the driver")?;
        ensure!(output.status.success(), "{output:?}");
        let report = String::from_utf8(output.stdout)?;
        let numbers = |name: &str| -> anyhow::Result<Vec<u64>> {
            let line = report.lines().find_map(|line| line.strip_prefix(name));
            let numbers = line.with_context(|| format!("the driver said no {name}"))?;
            Ok(numbers.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
        };
        let [idle_kib, peak_kib] = *numbers("rss_kib")? else { bail!("not two memory figures") };
        let nanos = numbers("nanos")?.into_iter().min().filter(|nanos| *nanos > 0);
        let millis = float(nanos.context("no time passed")?) / 1e6;
        Ok(Run { millis, mib: float(peak_kib - idle_kib) / 1024.0, bodies: std::fs::read(file)? })
    }
}

struct Run {
    /// CPU time of the fastest event.
    millis: f64,
    mib: f64,
    /// The gzip bodies of the traces of the last time.
    bodies: Vec<u8>,
}

impl Run {
    /// One request: neither gzip nor protobuf separates what was several.
    fn traces(self) -> anyhow::Result<Request> {
        const MAX_BYTES: usize = 1 << 30;
        let limits = Limits { items: usize::MAX, messages: usize::MAX, ..Limits::default() };
        let body = wire::gzip::inflate(&self.bodies, MAX_BYTES)?;
        Ok(Request::check(SignalKind::Traces, body, &limits)?)
    }
}

async fn start_and_size() -> anyhow::Result<()> {
    let arguments = ["--profile", "release", "-p", "lambda-otlp-forwarder", "--bins"];
    let forwarder = build(&arguments, "lambda-otlp-forwarder")?;
    println!("\nThe forwarder: {} bytes.", std::fs::metadata(&forwarder)?.len());
    for scheme in ["http", "https"] {
        let start = median_start(&forwarder, scheme).await?;
        println!(
            "{scheme}: {start:.1} ms from process start to the first `next`, median of {STARTS}."
        );
    }
    Ok(())
}

/// The milliseconds to the first request for an invocation, without secrets and without a listener at the endpoint.
async fn median_start(forwarder: &Path, scheme: &str) -> anyhow::Result<f64> {
    let lambda = Lambda::start().await?;
    let mut starts = Vec::new();
    for number in 0..STARTS {
        let name = format!("forwarder-{number}");
        let function = FunctionSpec::new(&name, forwarder)
            .env("LAMBDA_OTLP_ENDPOINT", format!("{scheme}://127.0.0.1:9/api/default"))
            .env("LAMBDA_OTLP_HEADERS", "authorization=Basic dXNlcjpwYXNzd29yZA==");
        lambda.create_function(function)?;
        // No event of any source: it is refused after the start.
        let invocation = lambda.invoke(&name, b"{}").await?;
        starts.push(millis(invocation.init_duration.context("no start was measured")?));
    }
    lambda.shut_down().await;
    Ok(median(&starts))
}

fn best(runs: &[Run]) -> f64 {
    min(runs.iter().map(|run| run.millis))
}

/// The fastest runs, and their ratio.
fn cells(runs: &[Vec<Run>; 2]) -> String {
    let [ours, peer] = runs.each_ref().map(|runs| best(runs));
    format!("{ours:.2} | {peer:.2} | {:.3}", ours / peer)
}

/// Fails unless both have this number of spans, with the same resources and scopes. Figures of different telemetry say nothing.
fn ensure_equal(spans: u64, ours: &Request, peer: &Request) -> anyhow::Result<()> {
    let our_spans = decode(ours)?;
    let peer_spans = decode(peer)?;
    let counts = [our_spans.len() as u64, peer_spans.len() as u64];
    ensure!(counts == [spans; 2], "{counts:?} of {spans} spans in ours and the peer's");
    let different = our_spans.iter().zip(&peer_spans).find(|(ours, peer)| ours != peer);
    ensure!(different.is_none(), "a span differs: {different:#?}");
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Placed {
    resource: Resource,
    scope: InstrumentationScope,
    span: Span,
}

/// The spans by their ids, each with its resource and scope.
fn decode(request: &Request) -> anyhow::Result<Vec<Placed>> {
    let mut spans = Vec::new();
    let request = request.decode::<Traces>().context("no traces")??;
    for ResourceSpans { resource, scope_spans, .. } in request.resource_spans {
        let mut resource = resource.unwrap_or_default();
        // A set: the peer writes it in the order of a hash map.
        resource.attributes.sort_by(|left, right| left.key.cmp(&right.key));
        for ScopeSpans { scope, spans: of_scope, .. } in scope_spans {
            let scope = scope.unwrap_or_default();
            spans.extend(of_scope.into_iter().map(|span| Placed {
                resource: resource.clone(),
                scope: scope.clone(),
                span,
            }));
        }
    }
    spans.sort_by(|left, right| left.span.span_id.cmp(&right.span.span_id));
    Ok(spans)
}
