//! A chain of custom processors: the first adds an attribute to each span, the second removes unwanted spans, and the library's
//! own writes the rest.

use lambda_otlp_exporter::export::{LambdaSpanProcessor, StdoutSpanExporter};
use lambda_otlp_exporter::opentelemetry::trace::Span as _;
use lambda_otlp_exporter::opentelemetry::{Context, KeyValue};
use lambda_otlp_exporter::opentelemetry_sdk::error::OTelSdkResult;
use lambda_otlp_exporter::opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;
use std::time::Duration;

/// Adds the environment's shop to each span.
#[derive(Debug)]
struct Shop;

impl SpanProcessor for Shop {
    fn on_start(&self, span: &mut Span, _parent: &Context) {
        span.set_attribute(KeyValue::new("shop.name", "corner shop"));
    }

    fn on_end(&self, _span: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Forwards all spans except those of health checks.
#[derive(Debug)]
struct WithoutHealthChecks<P>(P);

impl<P: SpanProcessor> SpanProcessor for WithoutHealthChecks<P> {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        self.0.on_start(span, parent);
    }

    fn on_end(&self, span: SpanData) {
        if span.name != "health check" {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &lambda_otlp_exporter::opentelemetry_sdk::Resource) {
        self.0.set_resource(resource);
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    tracing::info_span!("health check").in_scope(|| ());
    tracing::info_span!("store").in_scope(|| ());
    Ok(event.payload)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let lines = LambdaSpanProcessor::builder()
        .with_exporter(StdoutSpanExporter::default())
        .with_max_queue_size(512)
        .build();
    let config = TelemetryConfig::builder()
        .with_span_processor(Shop)
        .with_span_processor(WithoutHealthChecks(lines))
        .build();
    let completion_handler = init(config);
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
