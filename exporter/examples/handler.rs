//! A handler: each invocation is a span, `tracing` spans are its children, `tracing` events its log records.
//!
//! `cargo lambda watch` runs it, and `cargo lambda invoke handler --data-ascii '{"id":7}'` invokes it.

use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

#[tracing::instrument]
async fn store(id: i64) {
    tracing::info!(id, "order stored");
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let Some(id) = event.payload.get("id").and_then(Value::as_i64) else {
        return Ok(json!({ "statusCode": 400 }));
    };
    store(id).await;
    Ok(json!({ "statusCode": 201 }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let completion_handler = init(TelemetryConfig::default());
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
