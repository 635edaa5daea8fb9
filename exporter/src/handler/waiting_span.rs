//! The inferred span for the time that a request or message waited for the function, if `LAMBDA_OTLP_INFERRED_SPANS` asks for it.

use crate::telemetry::completion::TelemetryCompletionHandler;
use opentelemetry::trace::{Span as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use std::time::{Duration, SystemTime};

/// OpenObserve rejects spans older than five hours.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);

/// Writes the span below the invocation's, although it begins earlier: as its parent, it would hide the caller from service maps.
pub(super) fn write(
    completion: &TelemetryCompletionHandler,
    waited_for: &str,
    received_at: SystemTime,
    invocation: &Context,
) {
    let now = opentelemetry::time::now();
    // The clocks of AWS's services differ from the function's.
    if !now.duration_since(received_at).is_ok_and(|waited| waited <= LONGEST) {
        return;
    }
    let tracer = &completion.telemetry.tracer;
    let builder = tracer
        .span_builder(format!("{waited_for} wait"))
        .with_start_time(received_at)
        .with_attributes([KeyValue::new("lambda_otlp.inferred", true)]);
    tracer.build_with_context(builder, invocation).end_with_timestamp(now);
}
