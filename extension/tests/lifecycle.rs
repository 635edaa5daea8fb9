//! The extension's life against a scripted Lambda: what it calls, when it holds `next`, what it writes.

mod support;

use lambda_otlp_extension::lifecycle::Fatal;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Lambda, Script, invoke, shutdown};
use wire::SignalKind;

const MINUTE: Duration = Duration::from_secs(60);
const FIRST: &str = "3da1f2dc-3222-475e-9205-e2e6c6318895";

fn runtime_done(request_id: &str, status: &str) -> Value {
    json!({"time": "2026-09-21T14:13:20.123Z", "type": "platform.runtimeDone", "record": {
        "requestId": request_id,
        "status": status,
        "spans": [
            {"name": "responseLatency", "start": "2026-09-21T14:13:20.000Z", "durationMs": 120.5},
            {"name": "responseDuration", "start": "2026-09-21T14:13:20.121Z", "durationMs": 1.0},
            {"name": "runtimeOverhead", "start": "2026-09-21T14:13:20.122Z", "durationMs": 0.5},
        ],
        "metrics": {"durationMs": 122.0, "producedBytes": 8},
    }})
}

fn report(request_id: &str) -> Value {
    json!({"time": "2026-09-21T14:13:20.150Z", "type": "platform.report", "record": {
        "requestId": request_id,
        "status": "success",
        "spans": [{"name": "extensionOverhead", "start": "2026-09-21T14:13:20.123Z", "durationMs": 26.0}],
        "metrics": {"durationMs": 148.0, "billedDurationMs": 149, "memorySizeMB": 128, "maxMemoryUsedMB": 64},
    }})
}

#[tokio::test]
async fn a_first_invocation_is_held_for_its_end_and_written() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(lambda.telemetry(&[runtime_done(FIRST, "success")]).await, 200);
    let next = lambda.next().await;
    // Response latency, response duration, runtime overhead, produced bytes.
    assert_eq!(lambda.stdout.items(SignalKind::Metrics), 4);
    next.answer(200, shutdown("spindown"));
    assert_eq!(lambda.telemetry(&[report(FIRST)]).await, 200);
    let (ended, stdout, vitals) = lambda.ended().await;
    ended.unwrap();
    assert_eq!(stdout.items(SignalKind::Metrics), 5, "and the extension's overhead");
    assert_eq!(support::counts(&vitals), "lines=2 events=2");
}

#[tokio::test]
async fn an_end_that_is_read_before_its_beginning_is_not_waited_for() {
    let mut lambda = Lambda::start(&[]).await;
    let next = lambda.next().await;
    assert_eq!(lambda.telemetry(&[runtime_done(FIRST, "success")]).await, 200);
    next.answer(200, invoke(FIRST, MINUTE));
    lambda.next().await.answer(200, shutdown("spindown"));
    lambda.telemetry(&[report(FIRST)]).await;
    lambda.ended().await.0.unwrap();
}

#[tokio::test]
async fn a_shutdown_without_an_invocation_waits_for_nothing() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, shutdown("spindown"));
    let (ended, stdout, _) = lambda.ended().await;
    ended.unwrap();
    assert_eq!(stdout.text(), "");
}

#[tokio::test]
async fn an_unknown_event_is_passed_over() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, r#"{"eventType":"HIBERNATE"}"#);
    lambda.next().await.answer(200, "nonsense");
    lambda.next().await.answer(200, shutdown("spindown"));
    lambda.ended().await.0.unwrap();
}

#[tokio::test]
async fn a_refused_subscription_costs_only_the_telemetry() {
    for subscribe in [&[202][..], &[404], &[500, 500], &[400, 400], &[400, 200]] {
        let script = Script { subscribe, ..Script::default() };
        let mut lambda = Lambda::scripted(&[], script).await;
        lambda.next().await.answer(200, invoke(FIRST, MINUTE));
        if !subscribe.contains(&200) {
            // Nothing will come that is worth waiting for.
            lambda.next().await.answer(200, shutdown("spindown"));
            lambda.ended().await.0.unwrap();
        }
    }
}

#[tokio::test]
async fn a_refusal_of_register_or_next_ends_it_at_once() {
    for status in [403, 500] {
        let mut lambda = Lambda::begin(&[]).await;
        let register = lambda.call("POST /2020-01-01/extension/register").await;
        register.answer(status, "{}");
        assert!(matches!(lambda.ended().await.0, Err(Fatal::Api(_))));

        let mut lambda = Lambda::start(&[]).await;
        lambda.next().await.answer(status, "{}");
        assert!(matches!(lambda.ended().await.0, Err(Fatal::Api(_))));
    }
}

#[tokio::test]
async fn wrong_variables_and_a_busy_port_stop_nothing() {
    let busy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let mut lambda = Lambda::start(&[
        ("OTEL_LAMBDA_RECEIVER_PORT", &port),
        ("LAMBDA_OTLP_HOLD", "sometimes"),
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("O2_TELEMETRY_TYPES", "everything"),
    ])
    .await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(lambda.telemetry(&[runtime_done(FIRST, "success")]).await, 200);
    lambda.next().await.answer(200, shutdown("spindown"));
    let (ended, stdout, _) = lambda.ended().await;
    ended.unwrap();
    assert_eq!(stdout.items(SignalKind::Metrics), 4);
}
