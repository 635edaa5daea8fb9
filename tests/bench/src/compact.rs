//! Bytes of compact lines compared with standard lines of the same spans: a table of their ratios.
//!
//! `cargo run --release -p lambda-otlp-bench --no-default-features --features compact --bin compact`. No service, name or id is in the dictionary's training set.
//!
//! - "Recorded" are requests of OpenTelemetry's packages for Python and Node and of our layer, recorded in November 2026 with ids,
//!   names and addresses replaced. The dictionary was trained with four kinds of them, and not with those "held out".
//! - "Foreign keys" are those of conventions and instrumentations that the training set lacks, with a few common ones, such as
//!   `process.pid`. Some of their names are made up after the real ones. "Private keys" are in no registry.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

use anyhow::Context as _;
use lambda_otlp_bench::{Service, context_of};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use wire::compact::OwnedContext;
use wire::ids::id_of_number;
use wire::{Envelope, Limits, LineEncoder, LineLimits, read_line};

const SPANS: [u64; 5] = [1, 3, 5, 10, 100];
/// CloudWatch Logs bills the bytes of a log event and 26.
const OVERHEAD: usize = 26;
/// Kinds of services, and how many functions of each are measured.
const FUNCTIONS: u64 = 10;
const KINDS: [(&str, &[&str]); 5] = [
    (
        "recorded, held out",
        &[
            include_str!("../templates/recorded/python_layer_queue.txt"),
            include_str!("../templates/recorded/python_distro_http.txt"),
            include_str!("../templates/recorded/node_layer_http.txt"),
            include_str!("../templates/recorded/node_auto_http.txt"),
        ],
    ),
    (
        "recorded, trained",
        &[
            include_str!("../templates/recorded/python_layer_http.txt"),
            include_str!("../templates/recorded/python_distro_logs.txt"),
            include_str!("../templates/recorded/node_layer_queue.txt"),
            include_str!("../templates/recorded/node_http_only.txt"),
        ],
    ),
    (
        "other versions",
        &[
            include_str!("../templates/tests/python.txt"),
            include_str!("../templates/tests/node.txt"),
            include_str!("../templates/tests/java.txt"),
            include_str!("../templates/tests/consumer.txt"),
        ],
    ),
    ("foreign keys", &[include_str!("../templates/tests/foreign.txt")]),
    ("private keys", &[include_str!("../templates/tests/private.txt")]),
];

fn main() -> anyhow::Result<()> {
    println!("| spans | {} |", SPANS.map(|spans| spans.to_string()).join(" | "));
    println!("|{}", "---|".repeat(SPANS.len() + 1));
    for (name, templates) in KINDS {
        for of_library in [false, true] {
            let cell = |spans: &u64| Ok(format!("{:.3}", ratio(templates, *spans, of_library)?));
            let cells = SPANS.iter().map(cell).collect::<anyhow::Result<Vec<_>>>()?;
            let ids = if of_library { ", ids of our library" } else { "" };
            println!("| {name}{ids} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a few lines")]
fn ratio(templates: &[&'static str], spans: u64, of_library: bool) -> anyhow::Result<f64> {
    let mut compact = 0;
    let mut standard = 0;
    for template in templates {
        for number in 0..FUNCTIONS {
            let service = Service::new(template, number);
            // The extension knows neither the log group nor the log stream.
            let names = OwnedContext::of_function("", service.region, "", "")
                .with_account(&service.account);
            let mut encoder = LineEncoder::compact(names, LineLimits::default());
            let mut invocation = service.invocation(0, spans);
            if of_library {
                number_ids(&mut invocation);
            }
            for line in service.lines([invocation])? {
                standard += line.len() + OVERHEAD;
                let reading = read_line(&line, &Limits::default()).context("no OTLP line")?;
                for request in reading.decoded {
                    let mut out = Vec::new();
                    let written = encoder.encode(&Envelope::default(), request, &mut out);
                    compact += out.len() + written.lines * OVERHEAD;
                }
            }
        }
    }
    Ok(compact as f64 / standard as f64)
}

/// Gives spans the ids that our library would: they follow each other from the root's on.
fn number_ids(spans: &mut [SpanData]) {
    let Some(root) = spans.last() else { return };
    let first = u64::from_be_bytes(root.span_context.span_id().to_bytes());
    let id = |number: u64| SpanId::from_bytes(id_of_number(first.wrapping_add(number)));
    for (span, number) in spans.iter_mut().rev().zip(0..) {
        span.span_context = context_of(span.span_context.trace_id(), id(number));
        span.parent_span_id = if number == 0 { SpanId::INVALID } else { id(0) };
    }
}
