//! A function for testing your instrumentation: it collects the telemetry of invocations for assertions.
//!
//! Enable the feature `testing` in `[dev-dependencies]`, where it adds nothing to the function:
//!
//! ```toml
//! [dev-dependencies]
//! lambda-otlp-exporter = { version = "0.1", features = ["testing"] }
//! ```
//!
//! ```
//! use lambda_otlp_exporter::testing::TestFunction;
//! use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler};
//! use lambda_runtime::{Error, LambdaEvent};
//! use serde_json::{Value, json};
//!
//! async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
//!     let items = event.payload["items"].as_u64();
//!     tracing::info_span!("store", items).in_scope(|| tracing::info!("order stored"));
//!     Ok(json!({ "statusCode": 201 }))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let function = TestFunction::new(TelemetryConfig::builder());
//! let handler = create_traced_handler("orders", function.completion_handler(), handle);
//! handler(function.event(json!({ "items": 3 }))).await?;
//!
//! let written = function.take();
//! let store = written.span("store");
//! assert_eq!(store.attribute("items"), Some(&3.into()));
//! assert_eq!(store.parent_span_id, written.span("orders").span_id);
//! assert_eq!(written.logs[0].body, "order stored");
//! # Ok::<(), Error>(())
//! # })?;
//! # Ok::<(), Error>(())
//! ```

mod function;
mod propagator;
mod read;
mod written;

pub use function::TestFunction;
pub use written::{DataPoint, Event, Link, LogRecord, Metric, Span, Written};
