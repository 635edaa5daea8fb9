//! Telemetry: what subscribers get, when, again, and what is lost with an environment.

use std::time::Duration;

use crate::support::{Layer, SHORT, function, invoke, lambda, masked_event, messages, subscribe};
use expect_test::expect;
use lambda_otlp_simulator::{Lambda, LogFormat, LogLevel};
use serde_json::{Value, json};

/// A function with an extension that subscribed to all it may and waits for what is still to come.
async fn watched() -> (Lambda, Layer) {
    watched_by(&(subscribe(&["platform", "function"]) + HOLDS)).await
}

async fn watched_by(script: &str) -> (Lambda, Layer) {
    let layer = Layer::new(&[("watcher", script)]);
    (lambda([function("f").layer(layer.path())]).await, layer)
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

/// An extension that waits for what is still to come.
const HOLDS: &str = "invoke hold platform.runtimeDone\nshutdown hold platform.report\n";

#[tokio::test]
async fn a_subscriber_gets_init_and_invocation_and_the_report_with_the_next_thaw() {
    let script = subscribe(&["platform", "function"]) + HOLDS;
    let layer = Layer::new(&[("watcher", &script)]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    invoke(&lambda, "f", json!([{ "print": "one" }])).await;
    assert_eq!(
        layer.init_story("watcher"),
        [
            "init of the function",
            "platform.extension",
            "platform.initReport",
            "platform.initRuntimeDone",
            "platform.initStart",
            "platform.telemetrySubscription",
        ]
    );
    assert_eq!(layer.story("watcher"), ["platform.start", "one", "platform.runtimeDone"]);

    invoke(&lambda, "f", json!([{ "print": "two" }])).await;
    assert_eq!(
        layer.story("watcher")[3..],
        ["platform.report", "platform.start", "two", "platform.runtimeDone"]
    );
    lambda.recycle("f").await.unwrap();
    assert_eq!(layer.story("watcher")[7..], ["platform.report"]);

    let mut delivered: Vec<Value> = layer.telemetry("watcher");
    delivered.retain(|event| event["type"] != "function");
    let generated: Vec<Value> = lambda
        .platform_events("f")
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(delivered, generated);
    let told = lambda.telemetry_delivered();
    assert!(told.iter().all(|told| told.extension == "watcher" && told.sent <= told.answered));
    let told: Vec<String> = told.into_iter().map(|told| told.event).collect();
    assert_eq!(told, lambda.platform_events("f"));
    assert!(lambda.telemetry_undelivered().is_empty());
    let counts = lambda.telemetry_counts();
    assert_eq!((counts.queued, counts.undelivered), (counts.delivered, 0));
    assert!(messages(&lambda, "f").contains(
        &"TELEMETRY\tName: watcher\tState: Subscribed\tTypes: [Platform, Function]\n".to_owned()
    ));
}

#[tokio::test]
async fn every_event_has_the_shape_of_its_schema() {
    let script = subscribe(&["platform", "function", "extension"]) + HOLDS;
    let layer = Layer::new(&[("watcher", &script)]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    invoke(&lambda, "f", json!([{ "print": "one" }])).await;
    lambda.recycle("f").await.unwrap();
    let mut events: Vec<_> = layer.telemetry("watcher").iter().map(masked_event).collect();
    events.sort_unstable();
    expect![[r#"
        {"record":"init of the function\n","time":"TIME","type":"function"}
        {"record":"one\n","time":"TIME","type":"function"}
        {"record":{"events":["INVOKE","SHUTDOWN"],"name":"watcher","state":"Ready"},"time":"TIME","type":"platform.extension"}
        {"record":{"functionName":"f","functionVersion":"$LATEST","initializationType":"on-demand","instanceId":"HEX","instanceMaxMemory":128,"phase":"init","runtimeVersion":"provided:al2023.v100","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:51d1ff1f8a4b0cf0d5f5ac5e7ce8ba4a3d1c3c8f5ac25e38a0c0a4ad0b2f6c51"},"time":"TIME","type":"platform.initStart"}
        {"record":{"initializationType":"on-demand","metrics":{"durationMs":N.N},"phase":"init","status":"success"},"time":"TIME","type":"platform.initReport"}
        {"record":{"initializationType":"on-demand","phase":"init","status":"success"},"time":"TIME","type":"platform.initRuntimeDone"}
        {"record":{"metrics":{"billedDurationMs":N,"durationMs":N.N,"initDurationMs":N.N,"maxMemoryUsedMB":N,"memorySizeMB":128},"requestId":"ID","spans":[{"durationMs":N.N,"name":"extensionOverhead","start":"TIME"}],"status":"success","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}},"time":"TIME","type":"platform.report"}
        {"record":{"metrics":{"durationMs":N.N,"producedBytes":24},"requestId":"ID","spans":[{"durationMs":N.N,"name":"responseLatency","start":"TIME"},{"durationMs":N.N,"name":"responseDuration","start":"TIME"},{"durationMs":N.N,"name":"runtimeOverhead","start":"TIME"}],"status":"success","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"}},"time":"TIME","type":"platform.runtimeDone"}
        {"record":{"name":"watcher","state":"Subscribed","types":["platform","function","extension"]},"time":"TIME","type":"platform.telemetrySubscription"}
        {"record":{"requestId":"ID","tracing":{"spanId":"HEX","type":"X-Amzn-Trace-Id","value":"Root=ROOT;Parent=HEX;Sampled=0"},"version":"$LATEST"},"time":"TIME","type":"platform.start"}
    "#]].assert_eq(&(events.join("\n") + "\n"));
}

#[tokio::test]
async fn a_batch_that_was_refused_comes_again_until_it_is_taken() {
    let script = subscribe(&["platform"]) + "answers 503 500 301 200\n" + HOLDS;
    let (lambda, layer) = watched_by(&script).await;
    invoke(&lambda, "f", json!([])).await;
    lambda.recycle("f").await.unwrap();
    let refused = layer.told("watcher", "refused");
    assert_eq!((refused.len(), lambda.telemetry_counts().failed_deliveries), (3, 3));
    let first = serde_json::from_str::<Vec<Value>>(&refused[0]).unwrap();
    let taken = layer.telemetry("watcher");
    assert_eq!(first[..], taken[..first.len()]);
    assert_eq!(
        layer.story("watcher"),
        ["platform.start", "platform.runtimeDone", "platform.report"]
    );
}

#[tokio::test]
async fn a_test_may_hold_discard_duplicate_delay_and_inject() {
    let script = subscribe(&["platform", "function"]) + "shutdown hold platform.report\n";
    let (lambda, layer) = watched_by(&script).await;
    let telemetry = lambda.telemetry("f").unwrap();
    telemetry.hold("platform.runtimeDone");
    telemetry.discard("platform.start");
    telemetry.duplicate("function", 2);
    telemetry.delay("platform.report", Duration::from_millis(1));
    telemetry.inject(r#"{"time":"now","type":"platform.unheardOf","record":7}"#);
    invoke(&lambda, "f", json!([{ "print": "one" }])).await;
    telemetry.inject(r#""no object""#);
    telemetry.pass("function");
    invoke(&lambda, "f", json!([{ "print": "two" }])).await;
    lambda.recycle("f").await.unwrap();
    let told = layer.told("watcher", "batch").concat();
    let count = |word: &str| told.matches(word).count();
    assert_eq!((count("runtimeDone"), count("platform.start\"")), (0, 0));
    assert_eq!((count("\"one\\n\""), count("\"two\\n\"")), (2, 1), "{told}");
    assert_eq!((count("platform.report"), count("unheardOf"), count("no object")), (2, 1, 1));
    let kinds = || -> Vec<String> {
        lambda.telemetry_undelivered().into_iter().map(|event| event.kind).collect()
    };
    assert_eq!(kinds(), ["platform.runtimeDone"; 2]);
    assert_eq!(lambda.telemetry_counts().discarded, 2);

    telemetry.pass("platform.start");
    invoke(&lambda, "f", json!([])).await;
    telemetry.release();
    lambda.recycle("f").await.unwrap();
    assert!(layer.told("watcher", "batch").concat().contains("platform.runtimeDone"));
    assert_eq!(kinds().len(), 2);
}

#[tokio::test]
async fn what_waits_in_an_environment_that_is_never_thawed_is_counted_and_listed() {
    let (lambda, layer) = watched().await;
    let invocation = invoke(&lambda, "f", json!([])).await;
    assert_eq!(lambda.kill_idle("f").await.unwrap(), 1);
    assert_eq!(layer.events("watcher").len(), 1, "no SHUTDOWN");
    let undelivered = lambda.telemetry_undelivered();
    assert_eq!(undelivered.len(), 1, "{undelivered:?}");
    let lost = &undelivered[0];
    assert_eq!((lost.function.as_str(), lost.extension.as_str()), ("f", "watcher"));
    assert_eq!(
        (lost.kind.as_str(), &lost.environment),
        ("platform.report", &invocation.environment)
    );
    assert!(lost.event.contains(&invocation.request_id));
    let counts = lambda.telemetry_counts();
    assert_eq!((counts.undelivered, counts.queued), (1, counts.delivered + 1));
    assert!(lambda.pids().is_empty() && lambda.environments("f")[0].ended);
}

#[tokio::test]
async fn a_subscription_is_answered_as_a_test_wants() {
    for (status, error_type) in [(202, "Telemetry.NotSupported"), (404, "NotFound"), (500, "")] {
        let (lambda, layer) = watched_by(&subscribe(&["platform"])).await;
        lambda.telemetry("f").unwrap().answer_subscriptions(Some(status));
        assert!(invoke(&lambda, "f", json!([])).await.is_success());
        let answer = &layer.told("watcher", "subscribe")[0];
        assert!(answer.starts_with(&status.to_string()) && answer.contains(error_type), "{answer}");
        lambda.recycle("f").await.unwrap();
        assert!(layer.told("watcher", "batch").is_empty());
        assert!(!messages(&lambda, "f").iter().any(|line| line.starts_with("TELEMETRY")));
    }
    let wrong = subscribe(&["platform"]).replace("25}", "24}");
    let (lambda, layer) = watched_by(&wrong).await;
    invoke(&lambda, "f", json!([])).await;
    let answer = &layer.told("watcher", "subscribe")[0];
    assert!(answer.starts_with("400 ") && answer.contains("buffering.timeoutMs"), "{answer}");
}

#[tokio::test]
async fn lines_that_find_no_room_are_dropped_and_told() {
    let (lambda, layer) = watched().await;
    lambda.telemetry("f").unwrap().set_buffer_bytes(20_000);
    invoke(&lambda, "f", json!([{ "print_lines": 20_000 }])).await;
    lambda.recycle("f").await.unwrap();
    let events = layer.telemetry("watcher");
    let lines = events.iter().filter(|event| event["type"] == "function").count() - 1;
    let dropped = events.iter().filter(|event| event["type"] == "platform.logsDropped");
    let dropped: Vec<&Value> = dropped.map(|event| &event["record"]).collect();
    let records: u64 =
        dropped.iter().map(|record| record["droppedRecords"].as_u64().unwrap()).sum();
    assert_eq!((lines as u64 + records, records > 0), (20_000, true));
    assert_eq!(lambda.telemetry_counts().dropped, records);
    assert!(dropped.iter().all(|record| record["droppedBytes"].as_u64().unwrap() > 0));
    // What CloudWatch gets has nothing to do with it.
    assert_eq!(
        messages(&lambda, "f").iter().filter(|line| line.starts_with("line ")).count(),
        20_000
    );
}

#[tokio::test]
async fn every_line_of_an_invocation_reaches_its_subscriber_before_runtime_done() {
    let (lambda, layer) = watched().await;
    invoke(&lambda, "f", json!([{ "print_lines": 20_000 }])).await;
    let story = layer.story("watcher");
    assert_eq!(story.len(), 20_002);
    let lines = story[1..20_001].iter().enumerate();
    assert!(lines.clone().all(|(number, line)| *line == format!("line {number}")));
    assert_eq!(lambda.telemetry_counts().dropped, 0);
}

#[tokio::test]
async fn after_a_timeout_the_story_goes_on_for_the_new_listener() {
    let script = subscribe(&["platform"]) + "shutdown hold platform.report\n";
    let layer = Layer::new(&[("watcher", &script)]);
    let f = function("f").layer(layer.path()).timeout(SHORT).log_format(LogFormat::Json);
    let lambda = lambda([f.system_log_level(LogLevel::Debug)]).await;
    invoke(&lambda, "f", json!(["hang"])).await;
    assert_eq!(
        layer.story("watcher"),
        ["platform.start", "platform.runtimeDone", "platform.report"]
    );
    let events = layer.telemetry("watcher");
    let done = events.iter().find(|event| event["type"] == "platform.runtimeDone").unwrap();
    assert_eq!(done["record"]["status"], "timeout");

    invoke(&lambda, "f", json!([])).await;
    lambda.recycle("f").await.unwrap();
    let events = &layer.telemetry("watcher")[events.len()..];
    let inits: Vec<_> =
        events.iter().filter(|event| event["record"]["phase"] == "invoke").collect();
    assert_eq!(inits.len(), 3, "{events:?}");
    let kinds = types(events);
    let count = |kind| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((count("platform.start"), count("platform.report")), (1, 1));
    assert_eq!((count("platform.extension"), count("platform.telemetrySubscription")), (1, 1));
    let log = messages(&lambda, "f").concat();
    assert!(!log.contains(r#""phase":"invoke""#), "a suppressed init is not in the log");
    assert!(log.contains(r#""type":"platform.telemetrySubscription""#));
    assert!(
        log.contains(r#""type":"platform.extension","record":{"name":"watcher","state":"Ready""#)
    );
}

#[tokio::test]
async fn lines_are_objects_under_json_format_and_levels_keep_none_from_subscribers() {
    let script = subscribe(&["platform", "function", "extension"])
        .replace("2025-01-29", "2022-12-13")
        + "invoke print {\"level\":\"ERROR\"}\n"
        + HOLDS;
    let layer = Layer::new(&[("watcher", &script)]);
    let f = function("f").layer(layer.path()).log_format(LogFormat::Json);
    let lambda = lambda([f.application_log_level(LogLevel::Error)]).await;
    invoke(&lambda, "f", json!([{ "print": "{\"level\":\"DEBUG\"}" }, { "print": "text" }])).await;
    lambda.recycle("f").await.unwrap();
    let events = layer.telemetry("watcher");
    let records = |kind: &str| {
        let of_kind = events.iter().filter(|event| event["type"] == kind);
        of_kind.map(|event| event["record"].clone()).collect::<Vec<_>>()
    };
    let init = json!("init of the function\n");
    assert_eq!(records("function"), [init, json!({ "level": "DEBUG" }), json!("text\n")]);
    assert_eq!(records("extension"), [json!({ "level": "ERROR" })]);
    assert!(!messages(&lambda, "f").contains(&"text\n".to_owned()));
}

#[tokio::test]
async fn telemetry_over_tcp_is_an_event_a_line() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let http = r#"{"URI":"http://sandbox.localdomain:PORT/telemetry","protocol":"HTTP"}"#;
    let tcp = json!({ "protocol": "TCP", "port": port }).to_string();
    let script = subscribe(&["platform"]).replace(http, &tcp) + "invoke wait\n";
    assert!(script.contains("TCP"), "{script}");
    let (lambda, layer) = watched_by(&script).await;
    let running = lambda.begin_invocation("f", "{}").unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut lines = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut lines).await.unwrap();
    let events: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(types(&events)[0], "platform.initStart");
    layer.go_on("watcher");
    running.finished().await.unwrap();
}
