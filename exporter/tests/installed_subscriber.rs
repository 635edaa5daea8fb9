//! An application keeps its own `tracing` subscriber, and its invocations are spans nevertheless.

use lambda_otlp_exporter::{
    InMemoryOutput, TelemetryConfig, create_traced_handler, init_telemetry,
};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::test]
async fn an_installed_subscriber_is_kept_and_invocations_are_traced() {
    let own = tracing_subscriber::registry().with(LevelFilter::ERROR);
    tracing::subscriber::set_global_default(own).unwrap();
    let output = Arc::new(InMemoryOutput::default());
    let config = TelemetryConfig::builder().with_output(Arc::clone(&output) as _).build();
    let (_tracer, completion_handler) = init_telemetry(config).await.unwrap();
    let handler =
        create_traced_handler("test", completion_handler, |_: LambdaEvent<Value>| async {
            Ok::<_, Error>(json!(null))
        });
    handler(LambdaEvent::new(json!({}), Context::default())).await.unwrap();
    assert_eq!(output.take_lines().len(), 1);
    assert!(!tracing::enabled!(tracing::Level::INFO), "the application's own filter is in place");
}
