//! Today's exporter alone, and below lambda-otel-lite's handler.

#[path = "made.rs"]
mod made;
#[path = "notes.rs"]
mod notes;
#[path = "orders.rs"]
mod orders;

use lambda_otel_lite::{
    LambdaSpanProcessor, OtlpStdoutSpanExporter, TelemetryConfig, create_traced_handler,
    init_telemetry,
};
use lambda_runtime::LambdaEvent;
use notes::Notes;
use opentelemetry as api;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk as sdk;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::{Value, json};
use std::error::Error;

const SERVICE: &str = "orders-rust";

fn resource() -> Resource {
    Resource::builder().with_service_name(SERVICE).build()
}

pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Notes(SERVICE))
        .with_batch_exporter(otlp_stdout_span_exporter::OtlpStdoutSpanExporter::default())
        .with_resource(resource())
        .build();
    orders::take(&provider.tracer("orders/http"));
    Ok(provider.shutdown()?)
}

pub(crate) async fn write_invocations() -> Result<(), Box<dyn Error>> {
    let exporting =
        LambdaSpanProcessor::builder().exporter(OtlpStdoutSpanExporter::default()).build();
    let config = TelemetryConfig::builder()
        .with_span_processor(Notes(SERVICE))
        .with_span_processor(exporting)
        .resource(resource())
        .build();
    let (tracer, completion_handler) =
        init_telemetry(config).await.map_err(|error| error.to_string())?;
    let handler =
        create_traced_handler("orders", completion_handler, move |event: LambdaEvent<Value>| {
            let tracer = tracer.clone();
            async move {
                orders::take(&tracer);
                tracing::info!(order = 7, "order received");
                match event.payload.get("fail") {
                    Some(_) => Err("the order cannot be fulfilled".into()),
                    None => Ok(json!({ "statusCode": 201 })),
                }
            }
        });
    for payload in [json!({}), json!({ "fail": true }), json!({})] {
        // That the handler fails is the second case.
        drop(handler(LambdaEvent::new(payload, lambda_runtime::Context::default())).await);
    }
    Ok(())
}
