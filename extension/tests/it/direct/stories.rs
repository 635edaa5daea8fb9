//! Backends that fail in many ways, and the fate of the function and its spans.

use crate::direct::run_story;
use lambda_otlp_tests::stories::states::SHORT;
use lambda_otlp_tests::stories::{TRACE, body};
use serde_json::{Value, json};
use std::time::Duration;
use test_support::openobserve::{Faults, ScriptedResponse, Sink};

/// The time limit of a flush, with a margin for slow machines.
const ONE_FLUSH: Duration = Duration::from_millis(1000 + 900);

pub(crate) async fn sink() -> Sink {
    Sink::builder().no_window().start().await.unwrap()
}

pub(crate) async fn always(answer: ScriptedResponse) -> Sink {
    let sink = sink().await;
    sink.inject(Faults::seeded(1, 1.0).among([answer]));
    sink
}

pub(crate) fn invocations(number: usize) -> Vec<Value> {
    vec![json!({"spans": [3], "root": true}); number]
}

#[tokio::test]
async fn a_healthy_backend_gets_all_telemetry_and_stdout_none() {
    let sink = sink().await;
    // The first ones are flushed at their end, the later ones ride along or wait for SHUTDOWN.
    let account = run_story(&sink, sink.base(), &invocations(8), |spec| spec).await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (24, 0), "{account:?}");
    assert_eq!(account.made, 8, "the invocations' own spans");
    assert!(sink.metrics().iter().any(|metric| metric.item.name.starts_with("aws.lambda.")));
    assert_eq!(account.log.otlp_lines, 0);
}

#[tokio::test]
async fn spans_are_spilled_and_one_error_logged_if_the_backend_fails_or_hangs() {
    for answer in [ScriptedResponse::Status(503), ScriptedResponse::held()] {
        let sink = always(answer).await;
        // The first three invocations wait for it.
        let account = run_story(&sink, sink.base(), &invocations(8), |spec| spec).await;
        account.balances(false);
        assert!(account.kept.iter().all(|kept| *kept < ONE_FLUSH), "{:?}", account.kept);
        let later: Duration = account.kept.iter().skip(3).sum();
        assert!(later < ONE_FLUSH, "{:?}", account.kept);
        assert_eq!((account.delivered.len(), account.spilled()), (0, 24), "{account:?}");
        let told = account.log.text.iter().filter(|line| line.contains("cannot deliver")).count();
        assert_eq!(told, 1, "{:?}", account.log.text);
    }
}

#[tokio::test]
async fn wrong_credentials_are_reported_once_and_spans_spilled() {
    let sink = Sink::builder().no_window().user("root@example.com", "pass").start().await.unwrap();
    let headers = "authorization=Basic d3Jvbmc6aHVudGVyMjI=";
    let account = run_story(&sink, sink.base(), &invocations(5), |spec| {
        spec.env("LAMBDA_OTLP_HEADERS", headers)
    })
    .await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (0, 15), "{account:?}");
    let said: Vec<_> =
        account.log.text.iter().filter(|line| line.contains("check the authorization")).collect();
    assert_eq!(said.len(), 1, "{:?}", account.log.text);
    assert!(!account.log.has_text("hunter22") && !account.log.has_text("d3Jvbmc6"));
}

#[tokio::test]
async fn a_recovering_backend_gets_all_spans() {
    let sink = sink().await;
    sink.script([503, 503, 503, 429].map(ScriptedResponse::Status));
    let account = run_story(&sink, sink.base(), &invocations(8), |spec| spec).await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (24, 0), "{account:?}");
}

#[tokio::test]
async fn a_lost_response_may_repeat_spans_but_loses_none() {
    let sink = sink().await;
    sink.script([ScriptedResponse::CloseAfterStore, ScriptedResponse::CloseAfterBody]);
    let account = run_story(&sink, sink.base(), &invocations(5), |spec| spec).await;
    account.balances(true);
    assert_eq!((account.delivered.len(), account.spilled()), (15, 0), "{account:?}");
}

#[tokio::test]
async fn rejected_items_are_neither_resent_nor_spilled() {
    let sink = sink().await;
    sink.script_for(
        test_support::openobserve::Signal::Traces,
        [ScriptedResponse::PartialSuccess(2)],
    );
    let account = run_story(&sink, sink.base(), &invocations(5), |spec| spec).await;
    assert_eq!(account.spilled(), 0, "{account:?}");
    assert!(account.delivered.values().all(|times| *times == 1), "{account:?}");
    assert_eq!(account.delivered.len() + account.made, 15 + 5 - 2, "{account:?}");
    assert!(account.log.has_text("rejected by the backend"), "{:?}", account.log.text);
}

#[tokio::test]
async fn no_acknowledged_span_is_lost_when_the_handler_fails() {
    for end in ["fail", "exit", "panic", "hang"] {
        let sink = sink().await;
        let mut payloads = invocations(2);
        payloads.push(json!({"spans": [3, 2], "end": end}));
        payloads.extend(invocations(1));
        let account = run_story(&sink, sink.base(), &payloads, |spec| spec.timeout(SHORT)).await;
        account.balances(false);
        assert_eq!(account.delivered.len() + account.spilled(), 14, "{end}: {account:?}");
    }
}

#[tokio::test]
async fn spans_of_an_early_timed_out_invocation_reach_the_backend() {
    let sink = sink().await;
    let payloads = [json!({"spans": [3], "root": true}), json!({"spans": [2], "end": "hang"})];
    let account = run_story(&sink, sink.base(), &payloads, |spec| spec.timeout(SHORT)).await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (5, 0), "{account:?}");
}

#[tokio::test]
async fn spans_beyond_the_buffer_are_spilled_if_the_backend_hangs() {
    let sink = always(ScriptedResponse::held()).await;
    let payloads = vec![json!({"spans": [20, 20], "bytes": 20_000}); 3];
    let account = run_story(&sink, sink.base(), &payloads, |spec| {
        spec.env("O2_MAX_BUFFER_SIZE_MB", "1").timeout(Duration::from_secs(30))
    })
    .await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (0, 120), "{account:?}");
}

#[tokio::test]
async fn printed_lines_are_delivered_with_their_trace_id() {
    let sink = sink().await;
    let payloads = vec![json!({"spans": [3], "root": true, "lines": 20}); 6];
    let account = run_story(&sink, sink.base(), &payloads, |spec| spec).await;
    account.balances(false);
    account.has_printed(20, 6);
    assert_eq!((account.delivered.len(), account.log.otlp_lines), (18, 0), "{account:?}");
    let lines = sink.log_records();
    let of_function = lines.iter().filter(|of| body(&of.item).starts_with("a line of the"));
    for record in of_function {
        assert_eq!(record.item.trace_id, TRACE, "{record:?}");
    }
}

#[tokio::test]
async fn printed_lines_are_spilled_as_records_if_the_backend_fails() {
    let sink = always(ScriptedResponse::Status(503)).await;
    let payloads = vec![json!({"spans": [3], "root": true, "lines": 500}); 4];
    let account = run_story(&sink, sink.base(), &payloads, |spec| spec).await;
    account.balances(false);
    account.has_printed(500, 4);
    assert_eq!((account.delivered.len(), account.spilled()), (0, 12), "{account:?}");
}
