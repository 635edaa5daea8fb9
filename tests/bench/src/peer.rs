//! Drives the exporter of crates.io's otlp-stdout-span-exporter into memory.

mod driver;
#[expect(unreachable_pub, reason = "public in the library, which compiles it for our SDK")]
mod span_data;

use opentelemetry_0_32 as api;
use opentelemetry_sdk_0_32 as sdk;
use otlp_stdout_span_exporter::{BufferOutput, OtlpStdoutSpanExporter};
use std::sync::Arc;

fn main() -> anyhow::Result<()> {
    let output = BufferOutput::new();
    let exporter = OtlpStdoutSpanExporter::builder().output(Arc::new(output.clone())).build();
    driver::run(exporter, || Ok(output.take_lines()?))
}
