//! Drives `StdoutSpanExporter` into memory.

mod driver;
mod span_data;

use exporter::{InMemoryOutput, StdoutSpanExporter};
use opentelemetry as api;
use opentelemetry_sdk as sdk;
use std::sync::Arc;

fn main() -> anyhow::Result<()> {
    let output = Arc::new(InMemoryOutput::default());
    let exporter = StdoutSpanExporter::builder().output(output.clone()).build();
    driver::run(exporter, || Ok(output.take_lines()))
}
