//! The smallest function: with our library (feature `ours`), with crates.io's lambda-otel-lite (`peer`), or without telemetry
//! (`bare`). Both libraries have the same names.

#[cfg(feature = "peer")]
use lambda_otel_lite as library;
#[cfg(feature = "ours")]
use lambda_otlp_exporter as library;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use std::time::Duration;

#[cfg(feature = "bare")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event| handle(event, Duration::ZERO))).await
}

#[cfg(not(feature = "bare"))]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    use library::{TelemetryConfig, create_traced_handler, init_telemetry};
    let start = std::time::Instant::now();
    let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
    let setup = start.elapsed();
    let handler =
        create_traced_handler("function", completion_handler, move |event| handle(event, setup));
    lambda_runtime::run(service_fn(handler)).await
}

/// Two pieces of work, each a span if the function is instrumented.
async fn handle(_event: LambdaEvent<Value>, setup: Duration) -> Result<Value, Error> {
    for table in ["orders", "stock"] {
        let _span = tracing::info_span!("write item", table, items = 3).entered();
        std::hint::black_box(table);
    }
    Ok(json!({ "statusCode": 200, "setup_us": setup.as_micros() }))
}
