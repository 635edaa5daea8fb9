//! Drives `StdoutSpanExporter` into memory.

mod driver;

use exporter::{InMemoryOutput, StdoutSpanExporter};
use lambda_otlp_bench::span_data;
use opentelemetry_sdk as sdk;
use std::sync::Arc;

fn main() -> anyhow::Result<()> {
    let output = Arc::new(InMemoryOutput::default());
    let exporter = StdoutSpanExporter::builder().with_output(output.clone()).build();
    driver::run(exporter, || Ok(output.take_lines()))
}
