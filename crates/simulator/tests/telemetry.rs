//! Telemetry: what subscribers get, when, again, and what is lost with an environment.

#![cfg(test)]

mod support;

use expect_test::expect;
use serde_json::json;
use support::{Layer, function, invoke, lambda, masked_event, messages, subscribe};

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
