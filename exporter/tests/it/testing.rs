//! Tests with [`TestFunction`]: outgoing calls, and telemetry of several invocations.

use lambda_otlp_exporter::testing::TestFunction;
use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler, inject_headers};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

/// Responds with the headers of an outgoing request.
async fn call_another(_event: LambdaEvent<Value>) -> Result<Value, Error> {
    let mut request = http::Request::get("https://example.com").body(()).unwrap();
    inject_headers(request.headers_mut());
    let names = ["traceparent", "x-amzn-trace-id"];
    let sent = names.map(|name| request.headers().get(name).and_then(|own| own.to_str().ok()));
    Ok(json!(sent))
}

/// The outgoing headers of a function with this `OTEL_PROPAGATORS`, and the expected ids.
async fn sent(function: &TestFunction) -> (Value, String) {
    let handler = create_traced_handler("orders", function.completion_handler(), call_another);
    let sent = handler(function.event(json!({}))).await.unwrap();
    let written = function.take();
    let span = written.span("orders");
    (sent, format!("00-{}-{}-01", span.trace_id, span.span_id))
}

#[tokio::test]
async fn outgoing_requests_use_the_functions_own_propagators() {
    let function = TestFunction::new(TelemetryConfig::builder());
    let (headers, expected) = sent(&function).await;
    assert_eq!(headers, json!([expected, null]));
    // Another function on another thread, and one below on this thread, do not change the first one's propagators.
    let others = std::thread::spawn(|| {
        let none = [("OTEL_PROPAGATORS", "none")];
        let function = TestFunction::with_variables(TelemetryConfig::builder(), none);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(sent(&function)).0
    });
    assert_eq!(others.join().unwrap(), json!([null, null]));
    {
        let xray = [("OTEL_PROPAGATORS", "xray")];
        let inner = TestFunction::with_variables(TelemetryConfig::builder(), xray);
        let (headers, _) = sent(&inner).await;
        assert!(headers[1].as_str().unwrap().starts_with("Root=1-"), "{headers}");
    }
    let (headers, expected) = sent(&function).await;
    assert_eq!(headers, json!([expected, null]));
}

#[tokio::test]
#[expect(clippy::float_cmp, reason = "counts are exact")]
async fn the_newest_span_and_metric_of_a_name_are_returned() {
    let function = TestFunction::new(TelemetryConfig::builder());
    let telemetry = function.completion_handler();
    let stored = telemetry.meter("orders").u64_counter("shop.orders").build();
    let handler = create_traced_handler("orders", telemetry, move |event: LambdaEvent<Value>| {
        let count = event.payload["count"].as_u64().unwrap_or_default();
        stored.add(count, &[]);
        async move {
            tracing::info_span!("store", count).in_scope(|| ());
            Ok::<_, Error>(json!(null))
        }
    });
    handler(function.event(json!({ "count": 1 }))).await.unwrap();
    handler(function.event(json!({ "count": 2 }))).await.unwrap();
    let written = function.take();
    assert_eq!(written.span("store").attribute("count"), Some(&2.into()));
    assert_eq!(written.metric("shop.orders").sum(), 2.0);
}
