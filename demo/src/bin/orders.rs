//! The demo's Rust function: takes orders, and numbers each span, log record and data point.
//!
//! The event is `{"action": "ok", "children": 3, "logs": 2, "first_number": 1000}`, or an API Gateway event with that
//! body. [`Action`] describes the actions. Each number is sent as the attribute `demo.number`, and
//! written to the file `DEMO_LEDGER` when the item ends, independently of the exporter.

use exporter::trigger::{SpanAttributes, SpanAttributesExtractor as _};
use exporter::{TracedHandler, init};
use lambda_otlp_demo::ledger::{Ledger, NUMBER, What, telemetry};
use lambda_otlp_demo::{numbered_log, numbered_span};
use lambda_runtime::{Error, LambdaEvent};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tracing::Instrument as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open()?;
    let completion_handler = init(telemetry(&ledger));
    let instruments = Instruments::new(&completion_handler.meter("orders"));
    let described = ledger.clone();
    let handler =
        TracedHandler::new("orders", completion_handler, move |event: LambdaEvent<Value>| {
            let ledger = ledger.clone();
            let instruments = instruments.clone();
            async move { take(Order::of_event(&event.payload)?, &ledger, &instruments).await }
        })
        .with_extractor(move |event: &Value| describe(event, &described));
    lambda_runtime::run(handler).await
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Status 201.
    #[default]
    Ok,
    Error,
    /// Status 502.
    BadGateway,
    /// A panic inside a child span.
    Panic,
    Timeout,
    /// The process exits before any item has ended.
    Exit,
}

/// The content of the event.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Order {
    action: Action,
    /// The number of child spans, each with a log record and two data points.
    children: u32,
    /// The number of further log records.
    logs: u32,
    /// The first number of this invocation; by default, the numbers continue.
    first_number: Option<i64>,
}

impl Default for Order {
    fn default() -> Self {
        Self { action: Action::Ok, children: 3, logs: 2, first_number: None }
    }
}

impl Order {
    /// Reads the event itself, or the body of an HTTP event.
    fn of_event(event: &Value) -> Result<Self, Error> {
        match event.get("body").and_then(Value::as_str) {
            Some(body) => Ok(serde_json::from_str(body)?),
            None => Ok(Self::deserialize(event)?),
        }
    }
}

#[derive(Debug, Clone)]
struct Instruments {
    items: Counter<u64>,
    price: Histogram<f64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            items: meter.u64_counter("demo.orders.items").with_unit("{item}").build(),
            price: meter.f64_histogram("demo.orders.price").with_unit("EUR").build(),
        }
    }

    /// Records each measurement as its own data point, by giving it a number as an attribute.
    fn record(&self, ledger: &Ledger, price: f64) {
        let items_number = ledger.next_number();
        self.items.add(1, &[KeyValue::new(NUMBER, items_number)]);
        ledger.ended(items_number, What::DataPoint, None);
        let price_number = ledger.next_number();
        self.price.record(price, &[KeyValue::new(NUMBER, price_number)]);
        ledger.ended(price_number, What::DataPoint, None);
    }
}

/// Describes the event like the library, and numbers the invocation's span at its beginning, so that a partial span has
/// its number.
fn describe(event: &Value, ledger: &Ledger) -> SpanAttributes {
    if let Some(first) = Order::of_event(event).ok().and_then(|order| order.first_number) {
        ledger.continue_at(first);
    }
    let mut described = event.extract_span_attributes();
    described.attributes.push(KeyValue::new(NUMBER, ledger.begin_invocation()));
    described
}

async fn take(order: Order, ledger: &Ledger, instruments: &Instruments) -> Result<Value, Error> {
    let number = ledger.invocation_number();
    if order.action == Action::Exit {
        std::process::exit(1);
    }
    for log in 0..order.logs {
        numbered_log!(info, ledger, log, "order received");
    }
    for child in 0..order.children {
        let span = numbered_span!(ledger, "reserve item");
        reserve(child, ledger, instruments).instrument(span).await;
    }
    match order.action {
        Action::Ok => Ok(json!({ "statusCode": 201, "body": number.to_string() })),
        Action::BadGateway => {
            numbered_log!(error, ledger, "the bank does not answer");
            Ok(json!({ "statusCode": 502, "body": "" }))
        }
        Action::Error => Err("the order cannot be fulfilled".into()),
        Action::Panic => {
            let _open = numbered_span!(ledger, "charge card").entered();
            panic!("the card reader is on fire");
        }
        Action::Timeout => {
            let span = numbered_span!(ledger, "wait for the bank");
            std::future::pending::<()>().instrument(span).await;
            Ok(Value::Null)
        }
        // Handled above.
        Action::Exit => Ok(Value::Null),
    }
}

/// Runs one child span with a log record and two measurements.
async fn reserve(child: u32, ledger: &Ledger, instruments: &Instruments) {
    tokio::time::sleep(Duration::from_millis(2)).await;
    numbered_log!(info, ledger, child, "item reserved");
    instruments.record(ledger, 9.5 + f64::from(child));
}
