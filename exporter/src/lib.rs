//! OpenTelemetry for Rust functions on AWS Lambda: spans, logs and metrics as OTLP lines on stdout.
//!
//! The function makes no network call and holds no credential: Lambda ships stdout to CloudWatch Logs, and the
//! lambda-otlp forwarder sends it on. Each invocation becomes a span, `tracing` spans become its children and `tracing`
//! events log records of its trace, and all of it is written before the response is returned, also when the handler
//! fails or panics, and shortly before a timeout, what is still open then as partial spans.
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
//! Records of the `log` crate become log records as well, by the feature `log`, which is on by default.
//!
//! - [`init_telemetry`] sets everything up; [`TelemetryConfig`] changes what it does, and the variables of
//!   `docs/configuration.md` win.
//! - [`TracedHandler`] is [`create_traced_handler`] with options, [`OtelTracingLayer`] the same for `tower` services;
//!   [`SpanAttributesExtractor`] describes events.
//! - [`StdoutSpanExporter`], [`StdoutLogExporter`], [`StdoutMetricExporter`] and [`LambdaSpanProcessor`] are there for
//!   providers of your own.
//!
//! The trigger, attributes, parent and links of an invocation come from its event: from API Gateway's types, and from plain JSON by
//! its shape. The guide lists the sources. Cargo features, off by default, do the same for types of
//! `aws_lambda_events`: `alb`, `dynamodb`, `eventbridge`, `kafka`, `kinesis`, `s3`, `sns`, `sqs`; and `lambda_http` for the requests of
//! that crate, and so for axum, whose routes name the spans with the feature `axum`. Each message of a batch can have its own span
//! ([`SpanAttributes::add_to`], [`SpanAttributes::continued_span`]):
//!
//! ```no_run
//! # #[cfg(feature = "lambda_http")]
//! # async fn example() -> Result<(), lambda_runtime::Error> {
//! use lambda_http::{Adapter, Error, Request};
//! use lambda_otlp_exporter::{OtelTracingLayer, TelemetryConfig, init_telemetry};
//! use lambda_runtime::tower::ServiceBuilder;
//!
//! // Or axum's `Router`.
//! let app = lambda_http::service_fn(async |_: Request| Ok::<_, Error>("an order"));
//! let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
//! let traced = OtelTracingLayer::new(completion_handler);
//! lambda_runtime::run(ServiceBuilder::new().layer(traced).service(Adapter::from(app))).await
//! # }
//! ```
//!
//! What a function sends goes on with its trace: [`inject_headers`], [`inject_message_attributes`], [`inject_json`] and
//! [`inject_client_context`] write the context into it, and with the feature `aws-sdk` an interceptor does so for clients of AWS's SDK,
//! whose calls are spans then.
//!
//! Nothing here makes the function fail: panics of the exporter are contained, a wrong variable is one line on stderr,
//! memory is bounded, and what is lost is counted in the metric `lambda_otlp.exporter.lost`.
//!
//! Where the function's profile says `panic = "abort"`, nothing unwinds, so no panic can be contained: each ends the process. A
//! panic hook, which [`init_telemetry`] adds behind the one that is there, ends the running invocations' spans with the exception
//! and writes what there is, for as long as a write may take: spans that are open below them as partial ones. All of it is lost
//! where a hook that is set later does not call the one before.

#![warn(missing_docs)]
// Shows the required feature of each item on docs.rs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod config;
mod export;
mod extension;
pub mod handler;
mod init;
mod lambda_otel_lite;
mod outgoing;
mod output;
pub mod processor;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(test)]
mod tests;

/// The code of the page on crates.io.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
struct Guide;

pub use config::log_level::LogLevel;
pub use config::processor_mode::ProcessorMode;
/// For the documents of this repository: no part of the API.
#[doc(hidden)]
pub use config::variables::TABLE;
pub use export::exporters::{
    StdoutLogExporter, StdoutLogExporterBuilder, StdoutMetricExporter, StdoutMetricExporterBuilder,
    StdoutSpanExporter, StdoutSpanExporterBuilder,
};
pub use handler::http_route::set_http_route;
#[cfg(feature = "axum")]
pub use handler::matched_path::{MatchedPathLayer, MatchedPathService};
pub use handler::streaming::{InvocationBody, OtelStreamingLayer, OtelStreamingService};
pub use handler::tracing_layer::{OtelTracingLayer, OtelTracingService};
pub use handler::trigger::api_gateway::{ApiGatewayV1Extractor, ApiGatewayV2Extractor};
pub use handler::trigger::json::JsonExtractor;
pub use handler::trigger::span_attributes::{SpanAttributes, SpanAttributesBuilder, TriggerType};
pub use handler::trigger::{EventExtractor, Extractor, SpanAttributesExtractor};
#[doc(inline)]
pub use handler::{InvocationFuture, TracedHandler, create_traced_handler};
pub use init::telemetry_config::{TelemetryConfig, TelemetryConfigBuilder};
pub use init::{InitError, init_telemetry};
pub use lambda_otel_lite::events::{EventBuilder, EventLevel, event, record_event};
pub use lambda_otel_lite::resource::get_lambda_resource;
pub use lambda_otel_lite::{Attribute, OtlpStdoutSpanExporter, events, logger};
#[doc(hidden)]
pub use lambda_otel_lite::{extractors, layer, mode, propagation, resource};
/// The version of OpenTelemetry's API that this crate uses: with another one, spans and meters would not reach it.
pub use opentelemetry;
/// The version of OpenTelemetry's SDK that this crate uses: processors, exporters and samplers are those of this one.
pub use opentelemetry_sdk;
#[cfg(feature = "aws-sdk")]
pub use outgoing::aws_sdk::AwsSdkInterceptor;
pub use outgoing::{inject_client_context, inject_headers, inject_json, inject_message_attributes};
pub use output::Output;
pub use output::in_memory::InMemoryOutput;
pub use output::named_pipe::{NamedPipe, PIPE_PATH};
pub use output::stdout::Stdout;
pub use processor::spans::{LambdaSpanProcessor, LambdaSpanProcessorBuilder};
pub use telemetry::completion::TelemetryCompletionHandler;
pub use telemetry::resource::lambda_resource;
pub use telemetry::xray_propagator::{LambdaXrayPropagator, XrayPropagator};
