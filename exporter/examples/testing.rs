//! Tests of custom instrumentation: `cargo test --example testing --features testing`.

use lambda_otlp_exporter::opentelemetry::KeyValue;
use lambda_otlp_exporter::opentelemetry::metrics::Counter;
use lambda_otlp_exporter::{
    TelemetryCompletionHandler, TelemetryConfig, create_traced_handler, init_telemetry,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tracing::instrument]
async fn store(id: i64) {
    tracing::info!("order stored");
}

/// State that a function keeps between invocations.
#[derive(Clone)]
struct Orders {
    stored: Counter<u64>,
}

impl Orders {
    fn new(telemetry: &TelemetryCompletionHandler) -> Self {
        Self { stored: telemetry.meter("orders").u64_counter("shop.orders").build() }
    }

    async fn handle(self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        let id = event.payload.get("id").and_then(Value::as_i64).ok_or("the order has no id")?;
        store(id).await;
        self.stored.add(1, &[KeyValue::new("shop.country", "at")]);
        Ok(json!({ "statusCode": 201 }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (_tracer, telemetry) = init_telemetry(TelemetryConfig::default()).await?;
    let orders = Orders::new(&telemetry);
    let handle = move |event| orders.clone().handle(event);
    lambda_runtime::run(service_fn(create_traced_handler("orders", telemetry, handle))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_otlp_exporter::opentelemetry::trace::Status;
    use lambda_otlp_exporter::testing::{TestFunction, Written};

    async fn invoke(payload: Value) -> Written {
        let function = TestFunction::new(TelemetryConfig::builder());
        let telemetry = function.completion_handler();
        let orders = Orders::new(&telemetry);
        let handler =
            create_traced_handler("orders", telemetry, move |event| orders.clone().handle(event));
        drop(handler(function.event(payload)).await);
        function.take()
    }

    #[tokio::test]
    #[expect(clippy::float_cmp, reason = "counts are exact")]
    async fn an_order_writes_a_span_a_record_and_a_count() {
        let written = invoke(json!({ "id": 7 })).await;
        let root = written.span("orders");
        assert_eq!(root.attribute("http.response.status_code"), Some(&201.into()));
        assert_eq!(written.children_of(root).count(), 1);
        let store = written.span("store");
        assert_eq!(store.attribute("id"), Some(&7.into()));
        let record = written.logs_of(store).next().expect("a record of the span");
        assert_eq!(record.body, "order stored");
        let orders = written.metric("shop.orders");
        assert_eq!(orders.sum(), 1.0);
        assert_eq!(orders.data_points[0].attribute("shop.country"), Some(&"at".into()));
    }

    #[tokio::test]
    async fn an_order_without_an_id_is_an_error() {
        let written = invoke(json!({})).await;
        let root = written.span("orders");
        assert_eq!(root.status, Status::error("the order has no id"));
        assert_eq!(root.events[0].name, "exception");
        assert_eq!(written.logs.len() + written.metrics.len(), 0);
    }
}
