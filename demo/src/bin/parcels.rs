//! The demo's function "parcels" delivers the parcels of an SQS batch. It fails each fragile parcel once in a partial
//! batch response, so that the queue delivers it again.

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use exporter::{TracedHandler, init};
use lambda_otlp_demo::ledger::{Ledger, number_invocation, telemetry};
use lambda_otlp_demo::{Parcel, numbered_log, numbered_span};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open()?;
    let completion_handler = init(telemetry(&ledger));
    let handler =
        TracedHandler::new("parcels", completion_handler, move |event: LambdaEvent<SqsEvent>| {
            let carried = carry(&event.payload, &ledger);
            async move { carried }
        });
    lambda_runtime::run(handler).await
}

/// The partial batch response (Lambda Developer Guide, "Implementing partial batch responses").
fn carry(batch: &SqsEvent, ledger: &Ledger) -> Result<Value, Error> {
    let mut failures = Vec::new();
    for (at, message) in batch.records.iter().enumerate() {
        let parcel: Parcel = serde_json::from_str(message.body.as_deref().unwrap_or_default())?;
        let times = times_received(message);
        // A parcel gets new numbers at each delivery.
        ledger.continue_at(parcel.first_number + 20 * (times - 1));
        if at == 0 {
            number_invocation(ledger);
        }
        let span = numbered_span!(
            ledger,
            "carry parcel",
            parcel = parcel.position,
            otel.status_code = tracing::field::Empty
        );
        let _entered = span.enter();
        if parcel.is_fragile && times == 1 {
            span.record("otel.status_code", "error");
            numbered_log!(error, ledger, parcel = parcel.position, "parcel was dropped");
            failures.push(json!({ "itemIdentifier": message.message_id }));
        } else {
            numbered_log!(info, ledger, parcel = parcel.position, "parcel is there");
        }
    }
    Ok(json!({ "batchItemFailures": failures }))
}

fn times_received(message: &SqsMessage) -> i64 {
    let times = message.attributes.get("ApproximateReceiveCount");
    times.and_then(|times| times.parse().ok()).unwrap_or(1)
}
