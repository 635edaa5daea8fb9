//! OpenTelemetry for Rust functions on AWS Lambda: spans, logs and metrics as OTLP lines on stdout.
//!
//! The function makes no network call and holds no credential: Lambda ships stdout to CloudWatch Logs, and the
//! lambda-otlp forwarder sends it on. Each invocation becomes a span, `tracing` spans become its children and `tracing`
//! events log records of its trace, and all of it is written before the response is returned, also when the handler
//! fails or panics, and shortly before a timeout.
//!
//! ```no_run
//! use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler, init_telemetry};
//! use lambda_runtime::{Error, LambdaEvent, service_fn};
//! use serde_json::{Value, json};
//!
//! #[tracing::instrument]
//! async fn store(id: u64) {
//!     tracing::info!(id, "order stored");
//! }
//!
//! async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
//!     store(7).await;
//!     opentelemetry::global::meter("orders").u64_counter("orders").build().add(1, &[]);
//!     Ok(json!({ "statusCode": 201 }))
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
//!     let handler = create_traced_handler("orders", completion_handler, handle);
//!     lambda_runtime::run(service_fn(handler)).await
//! }
//! ```
//!
//! - [`init_telemetry`] sets everything up; [`TelemetryConfig`] changes what it does, and the variables in [`TABLE`] win.
//! - [`TracedHandler`] is [`create_traced_handler`] with options; [`SpanAttributesExtractor`] describes events.
//! - [`StdoutSpanExporter`], [`StdoutLogExporter`], [`StdoutMetricExporter`] and [`LambdaSpanProcessor`] are there for
//!   providers of your own.
//!
//! Nothing here makes the function fail: panics of the exporter are contained, a wrong variable is one line on stderr,
//! memory is bounded, and what is lost is counted in the metric `lambda_otlp.exporter.lost`.

#![warn(missing_docs)]

mod block_on;
mod buffer;
mod clock;
mod completion;
mod config;
mod deadline;
mod end_attributes;
mod exporters;
mod footprint;
mod handler;
mod id_generator;
mod init;
mod invocation;
mod line_exporter;
mod log_processor;
mod metric_reader;
mod mode;
mod otlp;
mod output;
mod patience;
mod processor;
mod propagation;
mod resource;
mod response;
mod room;
mod root_record;
mod stderr;
mod subscriber;
mod trigger;
mod turn;
mod vitals;
mod writer;

#[cfg(test)]
mod tests;

pub use completion::TelemetryCompletionHandler;
pub use config::TABLE;
pub use exporters::{
    StdoutLogExporter, StdoutLogExporterBuilder, StdoutMetricExporter, StdoutMetricExporterBuilder,
    StdoutSpanExporter, StdoutSpanExporterBuilder,
};
pub use handler::{InvocationFuture, TracedHandler, create_traced_handler};
pub use init::{InitError, TelemetryConfig, TelemetryConfigBuilder, init_telemetry};
pub use line_exporter::{LineExporter, LogLevel};
pub use mode::ProcessorMode;
/// The version whose spans, meters and context are ours: use it, so that no second version gets in.
pub use opentelemetry;
pub use output::{InMemoryOutput, NamedPipe, Output, PIPE_PATH, Stdout};
pub use processor::{LambdaSpanProcessor, LambdaSpanProcessorBuilder};
pub use propagation::{LambdaXrayPropagator, XrayPropagator};
pub use resource::get_lambda_resource;
pub use trigger::{
    ApiGatewayV1Extractor, ApiGatewayV2Extractor, EventExtractor, Extractor, JsonExtractor,
    SpanAttributes, SpanAttributesBuilder, SpanAttributesExtractor, TriggerType,
};
pub use wire::SignalKind;
