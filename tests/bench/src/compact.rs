//! Bytes and instructions of compact lines beside crates.io's otlp-stdout-span-exporter and our own OTLP lines.
//!
//! `cargo run --release -p lambda-otlp-bench --no-default-features --features corpus,harness --bin compact`. The services of the
//! workload are compared with the peer's lines, and those of the templates with our OTLP lines, which have .98 to 1.00 of the
//! peer's bytes. No service, name or id is in the dictionary's training set. A log event costs its bytes and 26.
//!
//! The workload has the keys of lambda-otel-lite, which the training set knows: its figures are optimistic for other
//! instrumentations. "Foreign keys" are those of conventions and instrumentations that the training set lacks, beside a few
//! common ones, such as
//! `process.pid`. Some of their names are made up after the real ones. "Private keys" are in no registry.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

use anyhow::{Context as _, bail};
use lambda_otlp_bench::build::build_one;
use lambda_otlp_bench::corpus::{self, Function, Template};
use lambda_otlp_bench::{SERVICES, Service, THINGS};
use std::path::Path;
use std::process::Command;
use wire::compact::{Encoder, Names};
use wire::{Envelope, LineEncoder, LineLimits, Request};

const SPANS: [u64; 5] = [1, 3, 5, 10, 100];
const OVERHEAD: usize = 26;
const TEMPLATES: [(&str, &str); 6] = [
    ("Python", include_str!("corpus/tests/python.txt")),
    ("Node", include_str!("corpus/tests/node.txt")),
    ("Java", include_str!("corpus/tests/java.txt")),
    ("messages", include_str!("corpus/tests/consumer.txt")),
    ("foreign keys", include_str!("corpus/tests/foreign.txt")),
    ("private keys", include_str!("corpus/tests/private.txt")),
];
const FEW: u64 = 5;
const MANY: u64 = 15;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<u64> =
        std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    match *arguments {
        [] => table(),
        [service, spans, prepared, exported] => encode(service, spans, prepared, exported),
        _ => {
            bail!("no arguments, or: service, spans, invocations to prepare, invocations to encode")
        }
    }
}

fn encode(service: u64, spans: u64, prepared: u64, exported: u64) -> anyhow::Result<()> {
    let service = Service::new(service);
    let mut requests: Vec<Request> = (0..prepared).map(|n| traces(&service, n, spans)).collect();
    let mut encoder = LineEncoder::compact(names(&service), LineLimits::default());
    let mut out = Vec::new();
    for request in requests.drain(..usize::try_from(exported)?) {
        let written = encoder.encode(&Envelope::default(), request, &mut out);
        anyhow::ensure!(written.lines == 1, "{written:?}");
        out.clear();
    }
    Ok(())
}

fn traces(service: &Service, invocation: u64, spans: u64) -> Request {
    traces_with(Ids::Sequential, service, invocation, spans)
}

/// The span ids of an invocation.
#[derive(Clone, Copy, Debug)]
enum Ids {
    /// Those of other SDKs.
    Random,
    /// Those of our library: consecutive from a random one, in the order in which spans begin.
    Sequential,
}

fn traces_with(ids: Ids, service: &Service, invocation: u64, spans: u64) -> Request {
    let mut spans = service.invocation(invocation, spans);
    let mut begun: Vec<(u64, u64)> =
        spans.iter().map(|span| (span.start_unix_nanos, span.span_id)).collect();
    begun.sort_unstable();
    let first = begun.first().map_or(0, |(_, id)| random_id(*id));
    let new_id = |id: u64| match ids {
        _ if id == 0 => 0,
        Ids::Random => random_id(id),
        Ids::Sequential => {
            let at = begun.iter().position(|(_, begun)| *begun == id).unwrap_or_default();
            u64::from_be_bytes(wire::ids::id_of_number(first.wrapping_add(at as u64)))
        }
    };
    for span in &mut spans {
        (span.span_id, span.parent_span_id) = (new_id(span.span_id), new_id(span.parent_span_id));
    }
    corpus::traces(&service.resource(), ("bench", "1.2.3"), &spans)
}

/// An id that SplitMix64 does not make of a neighbour's number. The workload's ids are its numbers.
fn random_id(id: u64) -> u64 {
    (id ^ 0x5bd1_e995_7b2f_a1c3).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

fn names(service: &Service) -> Names {
    let Service { name, account, stream, region, .. } = service;
    let group = format!("/aws/lambda/{name}");
    Names::of_function(name, region, &group, stream).with_account(account)
}

fn table() -> anyhow::Result<()> {
    let peer = build_one("peer", "export-peer")?;
    println!("| spans | {} |", SPANS.map(|spans| spans.to_string()).join(" | "));
    println!("|{}", "---|".repeat(SPANS.len() + 1));
    let services = usize::try_from(SERVICES)?;
    for ids in [Ids::Random, Ids::Sequential] {
        let (mut cells, mut bytes) = (Vec::new(), Vec::new());
        for spans in SPANS {
            let (mut compact, mut standard, mut peers) = (0, 0, 0);
            for number in 0..SERVICES {
                let service = Service::new(number);
                peers += peer_line(&peer, number, spans)? + OVERHEAD;
                let request = || traces_with(ids, &service, 0, spans);
                let mut encoder = LineEncoder::compact(names(&service), LineLimits::default());
                compact += line(&mut encoder, &service.name, request());
                let mut encoder = LineEncoder::new(6, LineLimits::default());
                standard += line(&mut encoder, &service.name, request());
            }
            cells.push(ratio(compact, peers));
            let [compact, standard] = [compact, standard].map(|bytes| bytes / services - OVERHEAD);
            bytes.push(format!("{compact} / {standard}"));
        }
        println!("| bytes, {ids:?} ids, compact / OTLP line | {} |", bytes.join(" | "));
        println!("| workload, {ids:?} ids | {} |", cells.join(" | "));
    }
    for (name, text) in TEMPLATES {
        let template = Template::new(text);
        for all_signals in [false, true] {
            let mut cells = Vec::new();
            for spans in SPANS {
                let (mut compact, mut standard) = (0, 0);
                for number in 0..10 {
                    let mut function = Function::new(&template, &THINGS, number);
                    let mut requests = vec![function.traces(number, spans)];
                    if all_signals {
                        requests.push(corpus::logs(&mut function, number, 3));
                        requests.push(corpus::metrics(&mut function, number));
                    }
                    let values = &function.values;
                    let group = format!("/aws/lambda/{}", values.name);
                    let names =
                        Names::of_function(&values.name, values.region, &group, &values.stream)
                            .with_account(&values.account);
                    let mut encoder = LineEncoder::new(6, LineLimits::default());
                    standard += requests
                        .iter()
                        .map(|request| line(&mut encoder, &values.name, request.clone()))
                        .sum::<usize>();
                    let requests: Vec<&Request> = requests.iter().collect();
                    let mut encoder = Encoder::default();
                    compact += line_of(&mut encoder, &names, &requests);
                }
                cells.push(ratio(compact, standard));
            }
            let what = if all_signals { ", 3 records, metrics" } else { "" };
            println!("| {name}{what} | {} |", cells.join(" | "));
        }
    }
    let compact = std::env::current_exe()?;
    for (tool, label, what) in [
        (["--tool=callgrind", "--callgrind-out-file=/dev/null"], "Collected :", "instructions"),
        (["--tool=memcheck", "--leak-check=no"], "total heap usage:", "allocations"),
    ] {
        let mut cells = Vec::new();
        for spans in SPANS {
            let of = |program: &Path| -> anyhow::Result<u64> {
                let counted = |exported| counted(&tool, label, program, [0, spans, MANY, exported]);
                Ok((counted(MANY)?.saturating_sub(counted(FEW)?)) / (MANY - FEW))
            };
            let (ours, peers) = (of(&compact)?, of(&peer)?);
            cells.push(format!("{ours} / {peers}"));
        }
        println!("| {what} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// The bytes that CloudWatch charges for a compact line.
fn line_of(encoder: &mut Encoder, names: &Names, requests: &[&Request]) -> usize {
    let content = encoder.text(&names.context(), wire::compact::Flags::default(), requests);
    content.len() + r#"{"_otelc":""}"#.len() + 1 + OVERHEAD
}

/// The bytes that CloudWatch charges for a line.
fn line(encoder: &mut LineEncoder, source: &str, request: Request) -> usize {
    let mut out = Vec::new();
    let envelope = Envelope { source, ..Envelope::default() };
    let written = encoder.encode(&envelope, request, &mut out);
    out.len() + written.lines * OVERHEAD
}

fn ratio(compact: usize, other: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let ratio = compact as f64 / other as f64;
    format!("{ratio:.3}")
}

/// The bytes of the peer's line of a service's first invocation, newline included.
fn peer_line(peer: &Path, service: u64, spans: u64) -> anyhow::Result<usize> {
    let arguments = [service, spans, 1, 1].map(|number| number.to_string());
    let output = Command::new(peer)
        .args(arguments)
        .env_clear()
        .env("OTEL_SERVICE_NAME", Service::new(service).name)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().context("the peer wrote nothing")?.len() + 1)
}

fn counted(tool: &[&str], label: &str, program: &Path, arguments: [u64; 4]) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(tool)
        .arg(program)
        .args(arguments.map(|number| number.to_string()))
        .env("OTEL_SERVICE_NAME", "orders-api")
        .output()
        .context("cannot run valgrind")?;
    let report = String::from_utf8_lossy(&output.stderr);
    let (_, counted) = report.rsplit_once(label).context("valgrind counted nothing")?;
    let number = counted.split_whitespace().next().unwrap_or_default();
    Ok(number.replace(',', "").parse()?)
}
