//! Bytes of compact lines beside our OTLP lines, which have .98 to 1.00 of the bytes of crates.io's otlp-stdout-span-exporter.
//!
//! `cargo run --release -p lambda-otlp-bench --no-default-features --features corpus --bin compact`. The services of the templates
//! write through our extension. No service, name or id is in the dictionary's training set. A log event costs its bytes and 26.
//!
//! - "Recorded" are requests of OpenTelemetry's packages for Python and Node and of our layer, recorded in November 2026 with ids,
//!   names and addresses replaced. The dictionary was trained with four kinds of them, and not with those "held out".
//! - "Foreign keys" are those of conventions and instrumentations that the training set lacks, beside a few common ones, such as
//!   `process.pid`. Some of their names are made up after the real ones. "Private keys" are in no registry.

#![expect(clippy::print_stdout, reason = "the program prints its table")]

mod corpus;

use corpus::{Function, Template, Values};
use wire::compact::{Encoder, Names};
use wire::{Envelope, LineEncoder, LineLimits};

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

#[expect(clippy::cast_precision_loss, reason = "bytes of a few lines")]
fn main() -> anyhow::Result<()> {
    println!("| spans | {} |", SPANS.map(|spans| spans.to_string()).join(" | "));
    println!("|{}", "---|".repeat(SPANS.len() + 1));
    for (name, texts) in TEMPLATES {
        let templates: Vec<Template> = texts.iter().map(|text| Template::new(text)).collect();
        for all_signals in [false, true] {
            let mut cells = Vec::new();
            for spans in SPANS {
                let (mut compact, mut standard) = (0, 0);
                for template in &templates {
                    for number in 0..FUNCTIONS {
                        let mut function = Function::new(template, number);
                        let mut requests = vec![function.traces(number, spans)?];
                        if all_signals {
                            requests.push(function.logs(number, 3)?);
                            requests.push(function.metrics(number)?);
                            requests.retain(|request| request.items() > 0);
                        }
                        let Values { name, account, region, .. } = &function.values;
                        // The extension knows neither the log group nor the log stream.
                        let names = Names::of_function("", region, "", "").with_account(account);
                        let content = Encoder::default()
                            .text(&names.context(), &requests.iter().collect::<Vec<_>>());
                        compact += content.len() + r#"{"_otelc":""}"#.len() + 1 + OVERHEAD;
                        let mut encoder = LineEncoder::new(6, LineLimits::default());
                        for request in requests {
                            let mut out = Vec::new();
                            let envelope = Envelope { source: name, ..Envelope::default() };
                            let written = encoder.encode(&envelope, request, &mut out);
                            standard += out.len() + written.lines * OVERHEAD;
                        }
                    }
                }
                cells.push(format!("{:.3}", compact as f64 / standard as f64));
            }
            let what = if all_signals { ", 3 records, metrics" } else { "" };
            println!("| {name}{what} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}
