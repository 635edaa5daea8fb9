//! The peers' lines read by `lambda-otlp decode`, and the lines of our exporter read by dev7a's forwarder.

#[path = "../../../../tests/interop/rust/src/made.rs"]
mod made;
#[path = "../../../../tests/interop/rust/src/orders.rs"]
mod orders;

use super::packages::pinned;
use super::{Tally, Workshop, items, output};
use anyhow::{Context as _, bail};
use exporter::{InMemoryOutput, StdoutSpanExporter};
use opentelemetry as api;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk as sdk;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) {
    for (script, package) in
        [("span_exporter.py", "otlp-stdout-span-exporter"), ("otel_lite.py", "lambda-otel-lite")]
    {
        let name = named(workshop, "PyPI", "tests/interop/python/requirements.txt", package);
        tally.check(&name, || {
            let mut command = Command::new(&workshop.packages.python);
            command.arg(workshop.root.join("tests/interop/python").join(script));
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            decode_what_it_prints(workshop, &name, &mut command)
        });
    }

    let name = named(
        workshop,
        "npm",
        "tests/interop/node/package.json",
        "@dev7a/otlp-stdout-span-exporter",
    );
    tally.check(&name, || {
        let mut command = Command::new("node");
        command.arg(workshop.root.join("tests/interop/node/span_exporter.js"));
        command.env("NODE_PATH", &workshop.packages.node);
        decode_what_it_prints(workshop, &name, &mut command)
    });

    let crates = "tests/interop/rust/Cargo.toml";
    for (peer, package) in
        [("span-exporter", "otlp-stdout-span-exporter"), ("lite", "lambda-otel-lite")]
    {
        let name = named(workshop, "crates.io", crates, package);
        tally.check(&name, || {
            let mut command = Command::new(&workshop.packages.rust);
            // Without a level of the log lambda-otel-lite makes no spans.
            command.arg(peer).env("RUST_LOG", "info");
            decode_what_it_prints(workshop, &name, &mut command)
        });
    }
    for protocol in ["http/protobuf", "http/json"] {
        for compression in ["none", "gzip"] {
            let name = named(workshop, "crates.io", crates, "otlp-stdout-client");
            let name = format!("{name} ({protocol}, {compression})");
            tally.check(&name, || {
                let mut command = Command::new(&workshop.packages.rust);
                command.arg("old-client").env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
                command.env_remove("OTEL_EXPORTER_OTLP_COMPRESSION");
                if compression != "none" {
                    command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
                }
                decode_what_it_prints(workshop, &name, &mut command)
            });
        }
    }

    let name = format!("{} reads the lines of our exporter", forwarder_core(workshop));
    tally.note(&name, our_lines(&workshop.packages.rust));
}

/// The name of a package in the checks: registry, name and pinned version.
fn named(workshop: &Workshop, registry: &str, file: &str, package: &str) -> String {
    let version = pinned(&workshop.root, file, package);
    format!("{registry} {package} {}", version.unwrap_or_else(|error| format!("({error:#})")))
}

/// The name of dev7a's forwarder in the checks.
pub(super) fn forwarder_core(workshop: &Workshop) -> String {
    named(workshop, "crates.io", "tests/interop/rust/Cargo.toml", "serverless-otlp-forwarder-core")
}

/// The program prints lines and notes its items: `decode` must find the same items.
fn decode_what_it_prints(
    workshop: &Workshop,
    name: &str,
    command: &mut Command,
) -> anyhow::Result<String> {
    let made = workshop.made_file(name);
    let lines = output(command.env("INTEROP_MADE", &made))?.stdout;
    items::compare(&items::made(&made)?, &items::decoded(&workshop.decode(&lines)?)?)
}

/// The requests of dev7a's forwarder, which the program of the peers' crates contains, for these lines in one delivery.
pub(super) fn read_by_forwarder_core(rust: &Path, lines: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut reader = Command::new(rust)
        .arg("core")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = match reader.stdin.take() {
        // It reads all before it prints.
        Some(mut stdin) => lines.iter().try_for_each(|line| writeln!(stdin, "{line}")),
        None => Ok(()),
    };
    let output = reader.wait_with_output()?;
    if !output.status.success() {
        bail!("it ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    written?;
    items::decoded(&output.stdout)
}

const SERVICE: &str = "orders-ours";
const ORDERS: usize = 200;

#[derive(Debug, Default, Clone)]
struct Made(Arc<Mutex<Vec<Value>>>);

impl SpanProcessor for Made {
    fn on_start(&self, _span: &mut Span, _parent: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        let span = made::span(&span, SERVICE);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn our_lines(rust: &Path) -> anyhow::Result<String> {
    let (made, lines) = (Made::default(), Arc::new(InMemoryOutput::default()));
    let exporter = StdoutSpanExporter::builder().with_output(Arc::clone(&lines) as _).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(made.clone())
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .build();
    let tracer = provider.tracer("orders/http");
    for _ in 0..ORDERS {
        orders::take(&tracer);
    }
    provider.shutdown().context("our exporter")?;
    let lines = lines.take_lines();
    let read = read_by_forwarder_core(rust, &lines)?;
    let made = made.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(format!("{} in {} lines", items::compare(&made, &read)?, lines.len()))
}
