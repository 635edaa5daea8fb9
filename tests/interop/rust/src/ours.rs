//! Our exporter.

#[path = "made.rs"]
mod made;
#[path = "orders.rs"]
mod orders;

use api::trace::TracerProvider as _;
use exporter::StdoutSpanExporter;
use opentelemetry_033 as api;
use opentelemetry_sdk_033 as sdk;
use sdk::Resource;
use sdk::error::OTelSdkResult;
use sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use std::error::Error;
use std::time::Duration;

const SERVICE: &str = "orders-ours";
/// More spans than one line has.
const ORDERS: usize = 200;

#[derive(Debug)]
struct Made;

impl SpanProcessor for Made {
    fn on_start(&self, _span: &mut Span, _parent: &api::Context) {}

    fn on_end(&self, span: SpanData) {
        crate::note(&made::span(&span, SERVICE));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Made)
        .with_batch_exporter(StdoutSpanExporter::builder().build())
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .build();
    let tracer = provider.tracer("orders/http");
    for _ in 0..ORDERS {
        orders::take(&tracer);
    }
    Ok(provider.shutdown()?)
}
