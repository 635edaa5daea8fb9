//! Counters and histograms, collected at the end of each invocation. The default is delta temporality, because each environment
//! counts alone and is short-lived. A view sets the histogram's aggregation.

use lambda_otlp_exporter::opentelemetry::metrics::{Counter, Histogram};
use lambda_otlp_exporter::opentelemetry::{KeyValue, global};
use lambda_otlp_exporter::opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init_telemetry};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Instruments are created once: creating one takes longer than using it.
struct Instruments {
    orders: Counter<u64>,
    values: Histogram<f64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let meter = global::meter("orders");
    Instruments {
        orders: meter.u64_counter("shop.orders").with_unit("{order}").build(),
        values: meter.f64_histogram("shop.order.value").with_unit("EUR").build(),
    }
});

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let value = event.payload.get("value").and_then(Value::as_f64).unwrap_or_default();
    INSTRUMENTS.orders.add(1, &[KeyValue::new("shop.country", "at")]);
    INSTRUMENTS.values.record(value, &[]);
    Ok(json!({ "statusCode": 201 }))
}

/// Boundaries for the shop's prices.
fn order_values(instrument: &Instrument) -> Option<Stream> {
    let boundaries = vec![5.0, 10.0, 50.0, 100.0];
    let aggregation = Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true };
    (instrument.name() == "shop.order.value")
        .then(|| Stream::builder().with_aggregation(aggregation).build().ok())
        .flatten()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = TelemetryConfig::builder().with_view(order_values).build();
    let (_tracer, completion_handler) = init_telemetry(config).await?;
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
