//! Log records and metrics in addition to spans. `tracing` events become records with their trace and span; OpenTelemetry's API creates
//! others, and a processor sees each record before it is written. Counters and histograms are collected at the end of each
//! invocation, as deltas, because each environment counts alone and is short-lived. A view sets the histogram's aggregation.

use lambda_otlp_exporter::opentelemetry::logs::{
    AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity,
};
use lambda_otlp_exporter::opentelemetry::metrics::{Counter, Histogram};
use lambda_otlp_exporter::opentelemetry::{InstrumentationScope, KeyValue, global};
use lambda_otlp_exporter::opentelemetry_sdk::error::OTelSdkResult;
use lambda_otlp_exporter::opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use lambda_otlp_exporter::opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init};
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

/// Boundaries for the shop's prices.
fn order_values(instrument: &Instrument) -> Option<Stream> {
    let boundaries = vec![5.0, 10.0, 50.0, 100.0];
    let aggregation = Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true };
    (instrument.name() == "shop.order.value")
        .then(|| Stream::builder().with_aggregation(aggregation).build().ok())
        .flatten()
}

/// Adds the deployment environment to each record.
#[derive(Debug)]
struct Deployment;

impl LogProcessor for Deployment {
    fn emit(&self, record: &mut SdkLogRecord, _scope: &InstrumentationScope) {
        record.add_attribute("deployment.environment.name", "production");
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = TelemetryConfig::builder()
        .with_view(order_values)
        .with_additional_log_processor(Deployment)
        .build();
    let completion_handler = init(config);
    let audit = completion_handler.logger_provider().logger("audit");
    let handle = move |event: LambdaEvent<Value>| {
        let value = event.payload.get("value").and_then(Value::as_f64).unwrap_or_default();
        INSTRUMENTS.orders.add(1, &[KeyValue::new("shop.country", "at")]);
        INSTRUMENTS.values.record(value, &[]);
        tracing::warn!(shelf = 7, "few left");
        let mut record = audit.create_log_record();
        record.set_severity_number(Severity::Info);
        record.set_body(AnyValue::from("order approved"));
        audit.emit(record);
        async { Ok::<_, Error>(json!({ "statusCode": 201 })) }
    };
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
