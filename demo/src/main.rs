//! The demo's Rust function: takes orders, and numbers each span, log record and data point.
//!
//! The event is `{"action": "ok", "children": 3, "logs": 2, "first_number": 1000}`, or an API Gateway event with that
//! body. [`Action`](orders::Action) describes the actions. Each number is sent as the attribute `demo.number`, and
//! written to the file `DEMO_LEDGER` when the item ends, independently of the exporter.

mod orders;

use exporter::{TracedHandler, init_telemetry};
use lambda_otlp_demo::ledger::{Ledger, telemetry};
use lambda_runtime::{Error, LambdaEvent};
use orders::{Instruments, Order, describe, take};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open()?;
    let (_tracer, completion_handler) = init_telemetry(telemetry(&ledger)).await?;
    let instruments = Instruments::new(&completion_handler.meter("orders"));
    let described = ledger.clone();
    let handler =
        TracedHandler::new("orders", completion_handler, move |event: LambdaEvent<Value>| {
            let (ledger, instruments) = (ledger.clone(), instruments.clone());
            async move { take(Order::of_event(&event.payload)?, &ledger, &instruments).await }
        })
        .with_extractor(move |event: &Value| describe(event, &described));
    lambda_runtime::run(handler).await
}
