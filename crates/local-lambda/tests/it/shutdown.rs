//! The ends of an environment: spindown, and the reset after a failed invocation.

use crate::puppets::{AMPLE, EXTENSION, FUNCTION, Puppets, function, subscription, text};
use lambda_otlp_local_lambda::{HttpServer, InvocationResult};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prints that it got SIGTERM, and does not end.
const STAYS: &str = "trap 'echo terminated' TERM; echo started; while :; do sleep 0.01; done";
/// Cleans up for a while, and ends.
const CLEANS_UP: &str =
    "trap 'sleep 0.1; echo terminated; exit 0' TERM; echo started; while :; do sleep 0.01; done";

#[expect(clippy::disallowed_methods, reason = "a deadline is a time of this machine's clock")]
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_gets_sigterm_and_its_time_before_extensions_get_shutdown() {
    let short = Duration::from_millis(500);
    for (script, timeout, reason) in [
        (STAYS, short, "timeout"),
        (STAYS, AMPLE, "spindown"),
        (CLEANS_UP, short, "timeout"),
        (CLEANS_UP, AMPLE, "spindown"),
    ] {
        let puppets = Puppets::of(function(script).timeout(timeout)).await;
        let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
        let api = puppets.api().await;
        let identifier = api.register(EXTENSION, r#"["INVOKE","SHUTDOWN"]"#).await;
        puppets.wait_for("started").await;
        let invoke = api.extension_next(&identifier);
        let event = api.runtime_next().await.unwrap();
        assert!(text(&invoke.await.unwrap()).contains("INVOKE"));
        let shutdown = api.extension_next(&identifier);
        let ends = async {
            if reason == "spindown" {
                assert_eq!(api.respond(&event, "1").await.status, 202);
                let next = api.runtime_next();
                assert!(running.finished().await.unwrap().is_success());
                assert_eq!(puppets.lambda.recycle(FUNCTION).await.unwrap(), 1);
                drop(next.await);
            } else {
                let invocation = running.finished().await.unwrap();
                assert_eq!(invocation.result, InvocationResult::Timeout);
            }
        };
        let asks = async {
            let answer = shutdown.await.unwrap();
            assert_eq!(puppets.lines("terminated"), 1, "{reason}");
            assert_eq!(answer.header("lambda-extension-event-identifier"), None);
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            let event: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(event["eventType"], "SHUTDOWN", "{event}");
            assert_eq!(event["shutdownReason"], reason, "{event}");
            // The runtime's time is a part of the two seconds.
            let left_ms = event["deadlineMs"].as_u64().unwrap().saturating_sub(now_ms());
            let max_ms = if script == STAYS { 1400 } else { 2000 };
            assert!(left_ms <= max_ms, "{reason}: {left_ms} ms are left");
        };
        tokio::join!(ends, asks);
    }
}

/// A listener of the Telemetry API that counts deliveries.
async fn listener() -> (HttpServer, Arc<AtomicUsize>) {
    let deliveries = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&deliveries);
    let server = HttpServer::start(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { http::Response::default() }
    });
    (server.await.unwrap(), deliveries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_ends_subscriptions() {
    let (server, deliveries) = listener().await;
    let subscription = subscription(server.address().port());
    let puppets = Puppets::of(function("exec sleep 1000").timeout(Duration::from_secs(1))).await;
    for _ in 0..2 {
        let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
        let api = puppets.api().await;
        let identifier = api.register(EXTENSION, r#"["INVOKE"]"#).await;
        assert_eq!(text(&api.subscribe(&identifier, &subscription).await), r#""OK""#);
        let extension_next = api.extension_next(&identifier);
        let runtime_next = api.runtime_next();
        assert_eq!(running.finished().await.unwrap().result, InvocationResult::Timeout);
        drop(extension_next.await);
        drop(runtime_next.await);
    }
    assert_eq!(puppets.lines("State: Subscribed"), 2);
    assert_eq!(puppets.lines("State: Already subscribed"), 0);
    assert!(deliveries.load(Ordering::SeqCst) > 0);
}
