//! Bytes of compact lines beside our OTLP lines, which have .98 to 1.00 of the bytes of crates.io's otlp-stdout-span-exporter, and
//! instructions beside that exporter.
//!
//! `cargo run --release -p lambda-otlp-bench --no-default-features --features corpus,harness --bin compact`. The services of the
//! workload write as with our library, those of the templates through our extension. No service, name or id is in the dictionary's
//! training set. A log event costs its bytes and 26.
//!
//! - The workload has the keys of lambda-otel-lite, which the training set knows: its figures are optimistic.
//! - "Recorded" are requests of OpenTelemetry's packages for Python and Node and of our layer, recorded in November 2026 with ids,
//!   names and addresses replaced. The dictionary was trained with four kinds of them, and not with those "held out".
//! - "Foreign keys" are those of conventions and instrumentations that the training set lacks, beside a few common ones, such as
//!   `process.pid`. Some of their names are made up after the real ones. "Private keys" are in no registry.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

use anyhow::{Context as _, bail};
use lambda_otlp_bench::corpus::{self, Function, Template, Values};
use lambda_otlp_bench::harness::{build_one, float};
use lambda_otlp_bench::{SERVICES, Service, THINGS};
use std::path::Path;
use std::process::Command;
use wire::compact::{Encoder, Names};
use wire::{Envelope, LineEncoder, LineLimits, Request};

const SPANS: [u64; 5] = [1, 3, 5, 10, 100];
const OVERHEAD: usize = 26;
const FUNCTIONS: u64 = 10;
/// Kinds of services, of which ten each are measured.
const TEMPLATES: [(&str, &[&str]); 5] = [
    (
        "recorded, held out",
        &[
            include_str!("corpus/recorded/python_layer_queue.txt"),
            include_str!("corpus/recorded/python_distro_http.txt"),
            include_str!("corpus/recorded/node_layer_http.txt"),
            include_str!("corpus/recorded/node_auto_http.txt"),
        ],
    ),
    (
        "recorded, trained",
        &[
            include_str!("corpus/recorded/python_layer_http.txt"),
            include_str!("corpus/recorded/python_distro_logs.txt"),
            include_str!("corpus/recorded/node_layer_queue.txt"),
            include_str!("corpus/recorded/node_http_only.txt"),
        ],
    ),
    (
        "other versions",
        &[
            include_str!("corpus/tests/python.txt"),
            include_str!("corpus/tests/node.txt"),
            include_str!("corpus/tests/java.txt"),
            include_str!("corpus/tests/consumer.txt"),
        ],
    ),
    ("foreign keys", &[include_str!("corpus/tests/foreign.txt")]),
    ("private keys", &[include_str!("corpus/tests/private.txt")]),
];
const FEW: u64 = 5;
const MANY: u64 = 15;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<u64> =
        std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    match *arguments {
        [] => {
            templates();
            workload()
        }
        [service, spans, prepared, exported] => encode(service, spans, prepared, exported),
        _ => {
            bail!("no arguments, or: service, spans, invocations to prepare, invocations to encode")
        }
    }
}

/// Encodes invocations as `export-ours` does, to count instructions.
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

/// The spans of an invocation, with ids as our library makes them: consecutive from a random one, in the order in which spans
/// begin.
fn traces(service: &Service, invocation: u64, spans: u64) -> Request {
    let mut spans = service.invocation(invocation, spans);
    let mut begun: Vec<(u64, u64)> =
        spans.iter().map(|span| (span.start_unix_nanos, span.span_id)).collect();
    begun.sort_unstable();
    let first = begun.first().map_or(0, |(_, id)| *id);
    let new_id = |id: u64| match begun.iter().position(|(_, begun)| *begun == id) {
        Some(at) => u64::from_be_bytes(wire::ids::id_of_number(first.wrapping_add(at as u64))),
        None => 0,
    };
    for span in &mut spans {
        (span.span_id, span.parent_span_id) = (new_id(span.span_id), new_id(span.parent_span_id));
    }
    corpus::traces(
        &service.resource(),
        spans.into_iter().map(|span| (("bench", "1.2.3"), span)).collect(),
    )
}

fn names(service: &Service) -> Names {
    let Service { name, account, stream, region, .. } = service;
    let group = format!("/aws/lambda/{name}");
    Names::of_function(name, region, &group, stream).with_account(account)
}

fn templates() {
    println!("| spans | {} |", SPANS.map(|spans| spans.to_string()).join(" | "));
    println!("|{}", "---|".repeat(SPANS.len() + 1));
    for (name, texts) in TEMPLATES {
        for all_signals in [false, true] {
            let mut cells = Vec::new();
            for spans in SPANS {
                let (mut compact, mut standard) = (0, 0);
                for text in texts {
                    let template = Template::new(text);
                    for number in 0..FUNCTIONS {
                        let mut function = Function::new(&template, &THINGS, number);
                        let mut requests = vec![function.traces(number, spans)];
                        if all_signals {
                            requests.push(corpus::logs(&mut function, number, 3));
                            requests.push(corpus::metrics(&mut function, number));
                            requests.retain(|request| request.items() > 0);
                        }
                        let Values { name, account, region, .. } = &function.values;
                        let mut encoder = LineEncoder::new(6, LineLimits::default());
                        standard += requests
                            .iter()
                            .map(|request| line(&mut encoder, name, request.clone()))
                            .sum::<usize>();
                        // The extension knows neither the log group nor the log stream.
                        let names = Names::of_function("", region, "", "").with_account(account);
                        compact += line_of(&names, &requests.iter().collect::<Vec<_>>());
                    }
                }
                cells.push(ratio(compact as u64, standard as u64));
            }
            let what = if all_signals { ", 3 records, metrics" } else { "" };
            println!("| {name}{what} | {} |", cells.join(" | "));
        }
    }
}

fn workload() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for spans in SPANS {
        let (mut compact, mut standard) = (0, 0);
        for service in (0..SERVICES).map(Service::new) {
            let request = traces(&service, 0, spans);
            let mut encoder = LineEncoder::compact(names(&service), LineLimits::default());
            compact += line(&mut encoder, &service.name, request.clone());
            let mut encoder = LineEncoder::new(6, LineLimits::default());
            standard += line(&mut encoder, &service.name, request);
        }
        bytes.push(ratio(compact as u64, standard as u64));
    }
    println!("| workload | {} |", bytes.join(" | "));
    let peer = build_one("peer", "export-peer")?;
    let compact = std::env::current_exe()?;
    let mut instructions = Vec::new();
    for spans in SPANS {
        let of_an_export = |program: &Path| -> anyhow::Result<u64> {
            Ok(instructions_of(program, spans, MANY)? - instructions_of(program, spans, FEW)?)
        };
        instructions.push(ratio(of_an_export(&compact)?, of_an_export(&peer)?));
    }
    println!("| workload, instructions beside the peer's | {} |", instructions.join(" | "));
    Ok(())
}

/// The bytes that CloudWatch charges for a compact line.
fn line_of(names: &Names, requests: &[&Request]) -> usize {
    let content = Encoder::default().text(&names.context(), requests);
    content.len() + r#"{"_otelc":""}"#.len() + 1 + OVERHEAD
}

/// The bytes that CloudWatch charges for a line.
fn line(encoder: &mut LineEncoder, source: &str, request: Request) -> usize {
    let mut out = Vec::new();
    let envelope = Envelope { source, ..Envelope::default() };
    let written = encoder.encode(&envelope, request, &mut out);
    out.len() + written.lines * OVERHEAD
}

fn ratio(compact: u64, other: u64) -> String {
    format!("{:.3}", float(compact) / float(other))
}

/// The instructions of a driver that prepares invocations and exports some of them, by callgrind.
fn instructions_of(program: &Path, spans: u64, exported: u64) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([0, spans, MANY, exported].map(|number| number.to_string()))
        .env("OTEL_SERVICE_NAME", "orders-api")
        .output()
        .context("cannot run valgrind")?;
    let report = String::from_utf8_lossy(&output.stderr);
    let (_, counted) = report.rsplit_once("Collected :").context("valgrind counted nothing")?;
    Ok(counted.split_whitespace().next().unwrap_or_default().parse()?)
}
