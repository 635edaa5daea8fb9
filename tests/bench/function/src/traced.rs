//! The function with a library: ours and the peer's have the same names.

use crate::{handler, library};
use library::{TelemetryConfig, create_traced_handler, init_telemetry};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use std::time::Instant;

pub async fn run() -> Result<(), Error> {
    let start = Instant::now();
    let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
    let setup = start.elapsed();
    let handler =
        create_traced_handler("function", completion_handler, move |event: LambdaEvent<Value>| {
            handler::handle(event, setup)
        });
    lambda_runtime::run(service_fn(handler)).await
}
