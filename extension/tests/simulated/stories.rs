//! The stories: each is told with the layer and without, and the function's results are the same.

use crate::story::{AMPLE, Log, ROOT, SHORT, Story, TRACE};
use serde_json::{Value, json};
use simulator::{LogFormat, LogLevel};
use std::time::Duration;

/// Tells a story twice, and compares what the function's callers saw.
async fn told(timeout: Duration, variables: &[(&str, &str)], payloads: &[Value]) -> Log {
    let mut results = Vec::new();
    let mut log = None;
    for with_layer in [false, true] {
        let mut story = Story::new(with_layer, timeout, variables).await;
        for payload in payloads {
            story.invoke(payload.clone()).await;
        }
        results.push(story.results());
        let read = story.shut_down().await;
        assert!(with_layer || (read.own.is_empty() && read.made.is_empty()));
        log = Some(read);
    }
    assert_eq!(results[0], results[1], "without the layer, and with it");
    log.unwrap()
}

#[tokio::test]
async fn cold_and_warm_invocations_are_written_once_each() {
    let log = told(
        AMPLE,
        &[],
        &[
            json!({"spans": [3], "root": true}),
            json!({"spans": [2, 1], "root": true}),
            json!({"spans": [1], "root": true}),
        ],
    )
    .await;
    assert_eq!(log.own.len(), 7);
    assert_eq!(log.spans(), ["internal ok"; 3]);
    for name in ["aws.lambda.response_latency", "aws.lambda.extension_overhead"] {
        assert_eq!(log.points.get(name), Some(&3), "{name}: {:?}", log.points);
    }
}

#[tokio::test]
async fn a_function_that_sends_nothing_gets_invocation_spans() {
    let log = told(AMPLE, &[], &[json!({}), json!({"end": "fail"}), json!({})]).await;
    assert_eq!(log.spans(), ["server ok", "server error", "server ok"]);
}

#[tokio::test]
async fn a_crash_and_a_timeout_end_as_without_the_layer() {
    let then = json!({"spans": [1]});
    let crash = json!({"spans": [5], "end": "exit"});
    let log = told(AMPLE, &[], &[crash, then.clone()]).await;
    assert_eq!(log.own.len(), 6);
    assert_eq!(log.spans(), ["server error", "server ok"]);
    let hang = json!({"spans": [5], "end": "hang"});
    let log = told(SHORT, &[], &[hang, then]).await;
    assert_eq!(log.own.len(), 6);
    assert_eq!(log.spans(), ["server error", "server ok"]);
}

#[tokio::test]
async fn an_exhausted_memory_ends_as_without_the_layer() {
    let mut results = Vec::new();
    for with_layer in [false, true] {
        let mut story = Story::new(with_layer, AMPLE, &[]).await;
        story.run_out_of_memory(json!({"spans": [5], "end": "hang"})).await;
        story.invoke(json!({})).await;
        results.push(story.results());
        let log = story.shut_down().await;
        if with_layer {
            assert_eq!(log.own.len(), 5);
            assert_eq!(log.spans(), ["server error", "server ok"]);
        }
    }
    assert_eq!(results[0], results[1]);
}

#[tokio::test]
async fn the_exporter_s_record_tells_the_root() {
    let mut story = Story::new(true, AMPLE, &[]).await;
    story.invoke(json!({"record": true})).await;
    story.invoke(json!({})).await;
    let log = story.shut_down().await;
    assert_eq!(log.spans(), ["internal ok", "server ok"]);
    assert_eq!(
        (log.made[0].trace_id.as_slice(), log.made[0].parent_span_id.as_slice()),
        (&TRACE[..], &ROOT[..])
    );
}

#[tokio::test]
async fn an_environment_that_was_made_ahead_and_never_used_writes_nothing() {
    let story = Story::new(true, AMPLE, &[]).await;
    assert!(story.lambda.initialise("f").await.unwrap());
    let log = story.shut_down().await;
    assert!(log.own.is_empty() && log.made.is_empty() && log.points.is_empty(), "{log:?}");
}

#[tokio::test]
async fn what_was_acknowledged_outlives_the_function_and_the_extension() {
    let mut story = Story::new(true, AMPLE, &[]).await;
    story.invoke(json!({"spans": [5]})).await;
    assert_eq!(story.lambda.kill_extension("f", "lambda-otlp-extension"), 1);
    story.invoke(json!({"spans": [1]})).await;
    let log = story.shut_down().await;
    assert!(log.own.len() >= 5, "{log:?}");
}

#[tokio::test]
async fn lines_carry_the_level_that_lambda_lets_pass() {
    let mut story = Story::of(AMPLE, |spec| {
        spec.log_format(LogFormat::Json).application_log_level(LogLevel::Error)
    })
    .await;
    story.invoke(json!({"spans": [3]})).await;
    assert_eq!(story.shut_down().await.own.len(), 3);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_even_if_the_environment_never_wakes_again() {
    let mut story = Story::new(true, AMPLE, &[("LAMBDA_OTLP_HOLD", "never")]).await;
    story.invoke(json!({"spans": [4]})).await;
    story.invoke(json!({"spans": [4]})).await;
    assert_eq!(story.kill().await.own.len(), 8);
}

#[tokio::test]
async fn a_busy_port_costs_otlp_and_nothing_else() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    // Who has the port answers nobody.
    drop(busy.set_nonblocking(true));
    let log = told(AMPLE, &[("OTEL_LAMBDA_RECEIVER_PORT", &port)], &[json!({}), json!({})]).await;
    assert_eq!(log.spans(), ["server ok"; 2]);
    assert!(log.has_text("cannot receive OTLP"), "{:?}", log.text);
}

#[tokio::test]
async fn wrong_settings_are_named_once_and_stop_nothing() {
    let variables = [
        ("LAMBDA_OTLP_HOLD", "sometimes"),
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS", "never"),
    ];
    let log = told(AMPLE, &variables, &[json!({"spans": [1]}), json!({"spans": [1]})]).await;
    assert_eq!(log.own.len(), 2);
    let complaints: Vec<_> =
        log.text.iter().filter(|line| line.contains("lambda-otlp-extension: ")).collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    for (name, _) in variables {
        assert!(complaints[0].contains(name), "{complaints:?}");
    }
}

#[tokio::test]
async fn a_refused_subscription_costs_only_what_lambda_says() {
    for status in [202, 404, 500] {
        let mut story = Story::new(true, AMPLE, &[]).await;
        story.lambda.telemetry("f").unwrap().answer_subscriptions(Some(status));
        story.invoke(json!({"spans": [2], "root": true})).await;
        story.invoke(json!({"spans": [2], "root": true})).await;
        assert_eq!(story.results(), ["\"done\""; 2], "{status}");
        let log = story.shut_down().await;
        assert_eq!((log.own.len(), log.made.len()), (4, 0), "{status}");
        assert_eq!(log.has_text("cannot subscribe"), status == 500, "{status}: {:?}", log.text);
    }
}

#[tokio::test]
async fn unknown_and_repeated_events_change_nothing() {
    let mut story = Story::new(true, AMPLE, &[]).await;
    let telemetry = story.lambda.telemetry("f").unwrap();
    telemetry.duplicate("platform.runtimeDone", 2);
    telemetry.duplicate("platform.report", 2);
    telemetry.inject(
        r#"{"time":"2026-09-21T14:13:20.123Z","type":"platform.hibernated","record":{"a":[1]}}"#,
    );
    telemetry.inject(r#"{"time":1,"type":"platform.start","record":"text"}"#);
    for _ in 0..3 {
        story.invoke(json!({})).await;
    }
    assert_eq!(story.results(), ["\"done\""; 3]);
    let log = story.shut_down().await;
    assert_eq!(log.spans(), ["server ok"; 3]);
    assert_eq!(log.points.get("aws.lambda.response_latency"), Some(&3), "{:?}", log.points);
}

#[tokio::test]
async fn a_report_that_is_outstanding_at_shutdown_is_waited_for() {
    let mut story = Story::new(true, AMPLE, &[("LAMBDA_OTLP_SPAN_END", "report")]).await;
    story.invoke(json!({})).await;
    let log = story.shut_down().await;
    assert_eq!(log.spans(), ["server ok"]);
    assert_eq!(log.points.get("aws.lambda.extension_overhead"), Some(&1), "{:?}", log.points);
}

#[tokio::test]
async fn a_megabyte_of_spans_and_twenty_thousand_lines() {
    let log = told(
        AMPLE,
        &[("O2_TELEMETRY_TYPES", "platform,function")],
        &[json!({"spans": [500], "bytes": 2048, "lines": 20_000}), json!({"spans": [1]})],
    )
    .await;
    assert_eq!(log.own.len(), 501);
    assert_eq!(
        log.text.iter().filter(|line| line.contains("a line of the function")).count(),
        20_000
    );
    assert_eq!(log.made.len(), 2, "{:?}", log.spans());
}
