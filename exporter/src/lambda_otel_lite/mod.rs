//! The additional names of lambda-otel-lite 0.20, so that migrating only changes the crate's name: paths of its modules, names of
//! its methods and functions, and `events` and `logger`.
//!
//! New code needs nothing from here. Three paths equal this crate's own modules and are defined there: `handler`, `processor` and
//! `telemetry` (`telemetry/lambda_otel_lite.rs`).

mod builders;
pub mod events;
pub mod logger;

pub use builders::Attribute;

/// lambda-otel-lite's name for [`StdoutSpanExporter`](crate::StdoutSpanExporter), originally of otlp-stdout-span-exporter.
pub type OtlpStdoutSpanExporter = crate::export::exporters::StdoutSpanExporter;

/// lambda-otel-lite's path.
pub mod extractors {
    pub use crate::handler::trigger::SpanAttributesExtractor;
    pub use crate::handler::trigger::span_attributes::{
        SpanAttributes, SpanAttributesBuilder, TriggerType,
    };
}

/// lambda-otel-lite's path.
pub mod layer {
    pub use crate::handler::tracing_layer::{OtelTracingLayer, OtelTracingService};
}

/// lambda-otel-lite's path.
pub mod mode {
    pub use crate::config::processor_mode::ProcessorMode;
}

/// lambda-otel-lite's path.
pub mod propagation {
    pub use crate::telemetry::xray_propagator::LambdaXrayPropagator;
}

/// lambda-otel-lite's path.
pub mod resource {
    use opentelemetry_sdk::Resource;

    /// [`lambda_resource`](crate::lambda_resource).
    #[must_use]
    pub fn get_lambda_resource() -> Resource {
        crate::lambda_resource()
    }
}
