//! `init_telemetry` with the process's own environment and globals.

use expect_test::expect;
use lambda_otlp_exporter::{
    InMemoryOutput, TelemetryConfig, create_traced_handler, init_telemetry,
};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn, tower::Service as _};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::SignalKind;

async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
    tracing::info_span!("child").in_scope(|| {
        tracing::info!("hello");
        log::warn!(target: "legacy::disk", "nearly full: {} %", 98);
        log::debug!(target: "legacy::disk", "below the level");
        log::error!(target: "opentelemetry_sdk::trace", "of the SDK itself");
    });
    opentelemetry::global::meter("test").u64_counter("calls").build().add(1, &[]);
    Ok(json!(null))
}

#[tokio::test]
async fn spans_logs_and_metrics_made_through_the_globals_are_written() {
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder().with_output(Arc::clone(&output) as _).build();
    let (_tracer, completion_handler) = init_telemetry(config).await.unwrap();
    // Like `lambda_runtime::run`.
    let mut service = service_fn(create_traced_handler("test", completion_handler, handle));
    service.call(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    let mut items = Vec::new();
    let lines = output.take_lines();
    let mut logs = String::new();
    for line in &lines {
        let reading = wire::read_line(line, &wire::Limits::default()).unwrap();
        for own in &reading.decoded {
            if let Some(request) = own.request.decode::<wire::Logs>() {
                logs.extend(request.unwrap().resource_logs.iter().flat_map(shown));
            }
        }
        items.extend(reading.decoded.iter().map(|own| (own.request.kind(), own.request.items())));
    }
    items.sort_unstable();
    assert_eq!(items, [(SignalKind::Traces, 2), (SignalKind::Metrics, 1), (SignalKind::Logs, 2)]);
    expect![[r#"
        globals INFO "hello" []
        legacy::disk WARN "nearly full: 98 %" []
    "#]]
    .assert_eq(&logs);
}

/// Scope, severity, body, attributes and event name of each record, and whether it belongs to a span.
fn shown(logs: &ResourceLogs) -> Vec<String> {
    let scopes = logs.scope_logs.iter();
    let records = scopes.flat_map(|own| own.log_records.iter().map(move |record| (own, record)));
    let shown = records.map(|(own, record)| {
        let scope = own.scope.as_ref().map(|scope| scope.name.as_str()).unwrap_or_default();
        let body = record.body.as_ref().and_then(|body| body.value.as_ref());
        let Some(any_value::Value::StringValue(body)) = body else { panic!("{body:?}") };
        assert_eq!((record.event_name.as_str(), record.span_id.len()), ("", 8), "{body}");
        format!("{scope} {} {body:?} {:?}\n", record.severity_text, record.attributes)
    });
    shown.collect()
}
