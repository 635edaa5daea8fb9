#![doc = include_str!("../README.md")]
//!
//! ```
//! use opentelemetry::trace::{Tracer, TracerProvider};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use otlp_stdout_span_exporter::{LogLevel, OtlpStdoutSpanExporter};
//!
//! let exporter = OtlpStdoutSpanExporter::builder().compression_level(9).level(LogLevel::Debug).build();
//! let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
//! provider.tracer("shop").in_span("store", |_| ());
//! provider.force_flush().unwrap();
//! ```

// A crate of its own, because Cargo refuses a program that names lambda-otlp-exporter twice, for `lambda_otel_lite` and for
// `otlp_stdout_span_exporter`.

pub use exporter::OtlpStdoutSpanExporter;
pub use exporter::config::LogLevel;
pub use exporter::export::{
    InMemoryOutput as BufferOutput, Output,
    StdoutSpanExporterBuilder as OtlpStdoutSpanExporterBuilder,
};
