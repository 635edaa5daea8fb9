//! A Rust function with `panic = "abort"` in its profile: the process ends in the panic, and its telemetry is in the
//! log.

use lambda_otlp_tests::workspace;
use local_lambda::{FunctionSpec, Lambda, binaries};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::time::Duration;
use test_support::Logged;

#[tokio::test]
#[ignore = "compiles the demo again, for `panic = \"abort\"`; `cargo xtask ci --long` runs it"]
async fn an_aborting_panic_writes_the_spans_of_its_invocation() {
    let profile = ["--config", "profile.dev.panic=\"abort\"", "--target-dir", "target/abort"];
    let arguments = [&profile[..], &["--package", "lambda-otlp-demo"]].concat();
    let built = binaries::build_with(&workspace(), &arguments).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let lambda = Lambda::start().await.unwrap();
    let orders = FunctionSpec::new("orders", binaries::find(&built, "demo-function").unwrap())
        .timeout(Duration::from_mins(1))
        .env("DEMO_LEDGER", directory.path().join("ledger").to_str().unwrap());
    lambda.create_function(orders).unwrap();
    let payload = json!({"action": "panic", "children": 2, "logs": 1}).to_string();
    lambda.invoke("orders", payload).await.unwrap();
    lambda.recycle("orders").await.unwrap();

    let logged = Logged::by(&lambda, "orders");
    let records = logged.records;
    let spans: Vec<Span> = logged.spans.into_iter().map(|(_, span)| span).collect();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.kind == 2).collect();
    let [root] = roots.as_slice() else { panic!("{} roots of {spans:?}", roots.len()) };
    let status = root.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "the card reader is on fire"));
    let children = spans.iter().filter(|span| span.parent_span_id == root.span_id);
    let below: Vec<&str> = children.map(|span| span.name.as_str()).collect();
    // The open span is partial.
    assert_eq!(below, ["charge card", "reserve item", "reserve item"]);
    assert!(records.len() >= 3, "{records:?}");
    lambda.shut_down().await;
}
