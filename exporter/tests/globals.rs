//! `init_telemetry` as a function calls it: with the process's own environment and globals.

use lambda_otlp_exporter::{
    InMemoryOutput, TelemetryConfig, create_traced_handler, init_telemetry,
};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn, tower::Service as _};
use serde_json::{Value, json};
use std::sync::Arc;
use wire::SignalKind;

async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
    tracing::info_span!("child").in_scope(|| tracing::info!("hello"));
    opentelemetry::global::meter("test").u64_counter("calls").build().add(1, &[]);
    Ok(json!(null))
}

#[tokio::test]
async fn spans_logs_and_metrics_made_through_the_globals_are_written() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder().with_output(Arc::clone(&output) as _).build();
    let (_tracer, completion_handler) = init_telemetry(config).await.unwrap();
    // As `lambda_runtime::run` drives it.
    let mut service = service_fn(create_traced_handler("test", completion_handler, handle));
    service.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    let mut items = Vec::new();
    for line in output.take_lines() {
        let reading = wire::read_line(&line, &wire::Limits::default()).unwrap();
        items.extend(reading.decoded.iter().map(|own| (own.request.kind(), own.request.items())));
    }
    items.sort_unstable();
    assert_eq!(items, [(SignalKind::Traces, 2), (SignalKind::Metrics, 1), (SignalKind::Logs, 1)]);
}
