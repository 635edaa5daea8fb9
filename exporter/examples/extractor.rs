//! A custom event describes its invocation's span: name, trigger, and headers with the parent.

use lambda_otlp_exporter::opentelemetry::KeyValue;
use lambda_otlp_exporter::trigger::{SpanAttributes, SpanAttributesExtractor, TriggerType};
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Order {
    id: i64,
    /// Headers from the caller, such as `traceparent`.
    #[serde(default)]
    context: HashMap<String, String>,
}

impl SpanAttributesExtractor for Order {
    fn extract_span_attributes(&self) -> SpanAttributes {
        SpanAttributes::builder()
            .with_span_name("store order")
            .with_trigger(TriggerType::PubSub)
            .with_attributes([KeyValue::new("shop.order.id", self.id)])
            .with_carrier(self.context.clone())
            .build()
    }
}

async fn handle(event: LambdaEvent<Order>) -> Result<i64, Error> {
    Ok(event.payload.id)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let completion_handler = init(TelemetryConfig::default());
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
