#![doc = include_str!("../README.md")]
//!
//! # API
//!
//! - [`init`](init()) sets everything up. [`TelemetryConfig`] changes the defaults, and the variables above override both
//!   ([`config`]).
//! - [`TracedHandler`] wraps a handler, and [`OtelTracingLayer`] a `tower` service ([`handler`]).
//! - [`trigger`] describes events: implement `SpanAttributesExtractor` for your own types.
//! - [`propagation`] continues traces in outgoing calls.
//! - [`export`] has the exporters and the processor for your own providers, and the destinations of lines.
//!
//! Every handler compiles whose error implements `Display` or is a `Diagnostic` ([`handler::HandlerError`]).
//!
//! The trigger, attributes, parent and links of an invocation come from its event: from API Gateway's types, and from plain JSON.
//! The [guide](https://github.com/lambda-otlp/lambda-otlp/blob/main/docs/rust.md#event-sources) lists the sources.
//! Each message of a batch can have its own span ([`trigger::SpanAttributes::add_to`],
//! [`trigger::SpanAttributes::continued_span`]).
//!
//! Telemetry never makes the function fail: panics of the exporter are contained, an invalid variable causes one line on
//! stderr, memory is bounded, and losses are counted in the metric `lambda_otlp.exporter.lost`.
//!
//! [`init`](init()) adds a panic hook before the existing one, which notes the place of a panic for the span. A hook that you set
//! later should call the previous one.
//!
//! With `panic = "abort"` in the function's profile, [`init`](init()) adds a panic hook after the existing one, which ends the
//! spans of the running invocations and writes all telemetry. It is lost if a hook that you set later does not call the previous
//! one.

// Modules, for contributors. A file imports files of its own module, or of modules further down this list (`state` and
// `extension` count as one). At most two files import each other.
//
// - `init` sets everything up. `telemetry_config` has the options in code, `providers` the SDK's providers.
// - `subscriber`: the layers of `tracing` for spans and log records. It recognizes events that the runtime refuses.
// - `handler` wraps handlers (`TracedHandler`), `tracing_layer` wraps services. Both use `instrumentation`, whose
//   `invocation_future` runs the handler in `invocation_span`.
// - `handler/invocation_span` starts and ends the span. Beside it, `new_span` has name, kind, parent and attributes, `outcome`
//   the failure, `answer` what a response says, by the rules of `events.json`. `error_record` logs the handler's error.
//   `handler_error` and `panic_place` describe errors and panics, `http_route` and `matched_path` the routes of routers.
// - `outgoing` adds trace context to calls (`fields`, `json`). `aws_sdk` makes spans of AWS SDK calls (`request`: the addressee).
// - `state`: what invocations share, and its flushes. In its own file, `flush_invocation()` decides the content and order of the
//   write at the end of an invocation, `write_cut_off()` those of a write before a timeout or exit. `completion` is the application's
//   handle, `record_filter` has the levels, `id_generator` the ids, `resource` the resource, `log_crate` the records of the `log`
//   crate.
// - `extension` decides the mode (`sync`, `async`, `finalize`) and handles SIGTERM. `invocations` decides when `async` writes,
//   `client` asks Lambda.
// - `processors` keep ended spans, records and measurements until the invocation ends: `spans`, `logs`, `metrics`. `buffer`
//   bounds what they keep, `early_writes` the writes before the end.
// - `export` makes lines, within a time limit that its own file computes: `exporters` (the SDK's traits), `otlp` (protobuf),
//   `line` (the lines). `losses` counts.
// - `invocations`: the running ones, their deadlines and open spans, and the thread that writes before a timeout. `root_record`
//   tells the layer about root spans.
// - `trigger` describes events (`SpanAttributesExtractor`). `description` applies `events.json`, which the layer's Python and
//   Node read too. `json` reads plain JSON by it, `typed` the types of `aws_lambda_events` by code of its own.
// - `trigger/http_request`, `messages` and `documents` (S3, DynamoDB) make the attributes from the values of both. `template`
//   makes the names, `sender` finds parents and baggage in messages, `times` reads times. `span_attributes` has the public
//   result.
// - `propagation`: `OTEL_PROPAGATORS`, and parents in headers, also X-Ray's.
// - `config` and `variables`: variables and limits. `config` also reads Lambda's own variables (`LambdaEnvironment`), of which
//   `state/resource` makes the resource; wire's `resource` has the names.
// - `output`: stdout and stderr. `bounded`: locks and waits with a time limit. `integer_fields`: integers of `tracing` fields.
//   `lambda_otel_lite`: the older names (feature `lambda-otel-lite`), as modules that re-export the root and methods of builders.

#![warn(missing_docs)]
// Shows the required feature of each item on docs.rs.
#![cfg_attr(docsrs, feature(doc_cfg))]

/// Methods of a builder that set or add one value.
macro_rules! setters {
    (|$builder:ident| $($(#[$doc:meta])* $name:ident($argument:ident: $type:ty) => $change:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $argument: $type) -> Self {
            let $builder = &mut self;
            $change;
            self
        }
    )*};
}

pub mod config;
pub mod export;
pub mod handler;
pub mod propagation;
pub mod trigger;

mod bounded;
mod extension;
mod init;
mod integer_fields;
mod invocations;
#[cfg(any(test, feature = "lambda-otel-lite"))]
mod lambda_otel_lite;
mod outgoing;
mod output;
mod processors;
mod state;
mod subscriber;
mod variables;

#[cfg(test)]
mod tests;

#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
struct Guide;

pub use config::TelemetryConfig;
pub use handler::{OtelTracingLayer, TracedHandler};
pub use init::init;
#[cfg(any(test, feature = "lambda-otel-lite"))]
#[doc(hidden)]
pub use lambda_otel_lite::root::*;
/// The OpenTelemetry API version of this crate. Spans and meters of another version would not reach it.
pub use opentelemetry;
/// The OpenTelemetry SDK version of this crate, for processors, exporters and samplers.
pub use opentelemetry_sdk;
pub use state::completion::TelemetryCompletionHandler;
/// The version of `tracing-opentelemetry` whose spans these are, for `OpenTelemetrySpanExt`.
pub use tracing_opentelemetry;
