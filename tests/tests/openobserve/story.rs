//! A function with the layer, and the forwarder, as processes: OpenObserve's rows of their telemetry.

use lambda_otlp_tests::{binary, layer};
use serde_json::json;
use simulator::sink::{Row, Sink};
use simulator::{FunctionSpec, Lambda};
use std::net::TcpListener;
use std::time::Duration;

/// Sends the telemetry of panels and alerts to this backend with these headers: cold and warm invocations, an error,
/// a panic, an exit, a timeout, exhausted memory, and the forwarder's own figures.
pub(crate) async fn tell_with(sink: &Sink, headers: &str) {
    let directory = tempfile::tempdir().unwrap();
    let layer = layer(directory.path().join("layer"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    let lambda = Lambda::start().await.unwrap();
    let forwarder = FunctionSpec::new("forwarder", binary("lambda-otlp-forwarder"))
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_OTLP_VITALS", "otlp")
        .env("LAMBDA_OTLP_HEADERS", headers)
        .env("LAMBDA_OTLP_ENDPOINT", sink.base());
    lambda.create_function(forwarder).unwrap();
    let orders = FunctionSpec::new("orders", binary("demo-function"))
        .timeout(Duration::from_secs(2))
        .layer(layer)
        .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
        .env("DEMO_LEDGER", directory.path().join("ledger").to_str().unwrap());
    lambda.create_function(orders).unwrap();
    lambda.subscribe("/aws/lambda/orders", "forwarder", "").unwrap();
    // An environment sends its figures with its first delivery, and then once a minute; the delivery of CloudWatch's
    // probe has none.
    lambda.flush_subscriptions().await;
    lambda.recycle("forwarder").await.unwrap();

    for action in ["ok", "ok", "error", "panic", "exit", "timeout"] {
        let payload = json!({"action": action, "children": 2, "logs": 1}).to_string();
        lambda.invoke("orders", payload).await.unwrap();
        lambda.wait_for_invocations().await;
        lambda.flush_subscriptions().await;
    }
    // An invocation hangs until its memory is exhausted.
    let hanging = lambda.invoke("orders", json!({"action": "timeout"}).to_string());
    let exhausted = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        while lambda.exhaust_memory("orders") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (invoked, ()) = tokio::join!(hanging, exhausted);
    invoked.unwrap();
    lambda.recycle("orders").await.unwrap();
    lambda.flush_subscriptions().await;
    lambda.wait_for_async_invocations().await;
    lambda.shut_down().await;
}

pub(crate) async fn rows() -> Vec<Row> {
    let sink = Sink::start().await.unwrap();
    tell_with(&sink, "").await;
    assert_eq!(format!("{:?}", sink.oddities()), "[]");
    sink.rows()
}
