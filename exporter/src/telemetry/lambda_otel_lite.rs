//! lambda-otel-lite's items at this path, see the crate's `lambda_otel_lite`.

pub use crate::init::init_telemetry;
pub use crate::init::telemetry_config::{TelemetryConfig, TelemetryConfigBuilder};
pub use crate::telemetry::completion::TelemetryCompletionHandler;
