//! The `json` output, with the variables of OpenObserve's extension, and OTLP by each protocol.

use crate::fake_lambda::direct::{delivered, silent, started_backend, three_spans, to};
use crate::fake_lambda::lines::{line, otlp_line, spilled_bodies, start};
use crate::fake_lambda::support::{FIRST, Lambda, Stdout, report, runtime_done, traces};
use lambda_otlp_extension::{Count, Counts};
use serde_json::{Value, json};
use std::sync::Arc;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use wire::{Request, SignalKind};

/// Runs an extension that has only the variables of OpenObserve's. These events come in its only invocation, beside three posted
/// spans if `posts` is set.
async fn run(
    backend: &FakeOpenObserve,
    more: &[(&str, &str)],
    posts: bool,
    events: &[Value],
) -> (Stdout, Arc<Counts>) {
    let o2 = [
        ("O2_ORGANIZATION_ID", "default"),
        ("O2_AUTHORIZATION_HEADER", "Basic cm9vdA=="),
        ("O2_ENDPOINT", backend.url()),
        ("O2_STREAM", "lambda"),
    ];
    let lambda = Lambda::invoked(&[&o2, more].concat()).await;
    assert_eq!(lambda.telemetry(events).await, 200);
    if posts {
        assert_eq!(lambda.protobuf(SignalKind::Traces, &traces(3)).await.status, 200);
        lambda.telemetry(&[runtime_done(FIRST)]).await;
    }
    lambda.shut_down().await
}

/// The start of an invocation that prints text, JSON and two spans.
fn printed() -> [Value; 4] {
    [
        start(FIRST),
        line("say \"hi\"\n"),
        line(json!({"level": "WARN", "message": "low"})),
        line(otlp_line(Request::trusted(SignalKind::Traces, traces(2)))),
    ]
}

#[tokio::test]
async fn the_json_stream_matches_that_of_openobserves_extension() {
    let backend = started_backend().await;
    let (stdout, counts) = run(&backend, &[], true, &printed()).await;
    assert_eq!(stdout.text(), "");
    let records = backend.json_records();
    assert!(
        records.iter().all(|record| (record.stream.as_str(), record.organization.as_str())
            == ("lambda", "default"))
    );
    let records: Vec<Value> = records.into_iter().map(|record| record.record).collect();
    let micros = 1_790_000_000_123_000_u64;
    let subscribed =
        json!({"name": "lambda-otlp-extension", "state": "Subscribed", "types": ["platform"]});
    let expected = [
        json!({"_timestamp": 1_789_999_999_000_000_u64, "type": "platform.telemetrySubscription", "record": subscribed}),
        json!({"_timestamp": micros, "type": "platform.start", "record": start(FIRST)["record"], "requestId": FIRST}),
        json!({"_timestamp": micros, "type": "function", "record": "say \"hi\"\n", "requestId": FIRST}),
        json!({"_timestamp": micros, "type": "function", "record": {"level": "WARN", "message": "low"}, "requestId": FIRST}),
        json!({"_timestamp": micros, "type": "platform.runtimeDone", "record": runtime_done(FIRST)["record"], "requestId": FIRST}),
    ];
    assert_eq!(records, expected);
    // OTLP is sent too, posted and printed, and nothing is made of Lambda's events.
    assert_eq!((delivered(&backend), backend.spans().len(), backend.metrics().len()), (5, 5, 0));
    assert!(backend.log_records().is_empty());
    assert_eq!(counts.get(Count::Delivered), 10);
    let paths: Vec<String> = backend.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.contains(&"/api/default/lambda/_json".to_owned()), "{paths:?}");
}

#[tokio::test]
async fn a_line_after_the_report_has_no_request_id() {
    let backend = started_backend().await;
    let late = report("8fbb3a0c-5bd2-4a15-9a3d-0d3f1a7a2d11", "success");
    let within = line("within\n");
    let report = report(FIRST, "success");
    let after = line("after\n");
    let events = [start(FIRST), late, within, runtime_done(FIRST), report, after];
    run(&backend, &[], false, &events).await;
    let records = backend.json_records().into_iter().map(|record| record.record);
    let lines = records.filter(|record| record["type"] == "function");
    let request_ids: Vec<_> = lines.map(|line| line["requestId"].clone()).collect();
    assert_eq!(request_ids, [json!(FIRST), Value::Null]);
}

#[tokio::test]
async fn records_not_stored_are_resent_or_spilled() {
    // The answer counts none of them: the write failed, though the status is 200.
    let backend = started_backend().await;
    let failed = ScriptedResponse::WriteFailed;
    backend.script([failed.clone(), failed]);
    let events = [start(FIRST), line("again\n"), runtime_done(FIRST)];
    let (stdout, _) = run(&backend, &[], false, &events).await;
    let records = backend.json_records().into_iter().map(|record| record.record);
    let stored = records.filter(|record| record["record"] == "again\n").count();
    let spilled = spilled_bodies(&stdout).into_iter().filter(|body| body == "again\n").count();
    assert_eq!(stored + spilled, 1, "{stored} {spilled}");

    let backend = silent().await;
    let short = [("OTEL_LAMBDA_FLUSH_TIMEOUT", "50ms")];
    let (stdout, counts) = run(&backend, &short, true, &printed()).await;
    assert!(spilled_bodies(&stdout).contains(&"say \"hi\"\n".to_owned()));
    assert_eq!((counts.get(Count::Delivered), counts.get(Count::Spilled)), (0, 10));
}

#[tokio::test]
async fn rejected_json_records_are_counted() {
    let backend = FakeOpenObserve::builder().start().await.unwrap();
    // All of it is older than the backend takes.
    let events = [start(FIRST), line("old\n"), runtime_done(FIRST)];
    let (stdout, counts) = run(&backend, &[], false, &events).await;
    assert_eq!((stdout.text().as_str(), counts.get(Count::Rejected)), ("", 4));
}

#[tokio::test]
async fn otlp_json_requests_are_gzipped_with_the_json_content_type() {
    let backend = started_backend().await;
    let json = [("LAMBDA_OTLP_PROTOCOL", "http/json"), ("LAMBDA_OTLP_BACKEND", "otlp")];
    let (stdout, counts) = three_spans(&to(&backend, &json)).await;
    assert_eq!((stdout.text().as_str(), counts.get(Count::Spilled)), ("", 0));
    assert_eq!(delivered(&backend), 3);
    for request in backend.requests() {
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["content-encoding"], "gzip");
    }
}
