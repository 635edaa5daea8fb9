//! Stores an order, `{"id": 7}`, with a span for the invocation, a span for the storing, a log record and a counter.

use exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

#[tracing::instrument]
async fn store(id: u64) {
    tracing::info!(id, "order stored");
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let id = event.payload.get("id").and_then(Value::as_u64).ok_or("the event has no id")?;
    store(id).await;
    opentelemetry::global::meter("orders").u64_counter("orders").build().add(1, &[]);
    Ok(json!({ "statusCode": 201 }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let completion_handler = init(TelemetryConfig::default());
    let handler = TracedHandler::new("orders", completion_handler, handle);
    lambda_runtime::run(handler).await
}
