//! Our exporter.

#[path = "made.rs"]
mod made;
#[path = "notes.rs"]
mod notes;
#[path = "orders.rs"]
mod orders;

use api::trace::TracerProvider as _;
use exporter::export::StdoutSpanExporter;
use notes::Notes;
use opentelemetry_033 as api;
use opentelemetry_sdk_033 as sdk;
use sdk::Resource;
use sdk::trace::SdkTracerProvider;
use std::error::Error;

const SERVICE: &str = "orders-ours";
/// More spans than one line has.
const ORDERS: usize = 200;

pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Notes(SERVICE))
        .with_batch_exporter(StdoutSpanExporter::builder().build())
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .build();
    let tracer = provider.tracer("orders/http");
    for _ in 0..ORDERS {
        orders::take(&tracer);
    }
    Ok(provider.shutdown()?)
}
