//! Extensions: how they start, register, take part in invocations, fail and end.

#![cfg(test)]

mod support;

use expect_test::expect;
use lambda_otlp_simulator::process_state;
use serde_json::json;
use support::{Layer, function, invoke, lambda, log, mask};

#[tokio::test]
async fn an_extension_of_a_layer_registers_and_gets_every_event() {
    let layer = Layer::new(&[("watcher", "feature accountId\ninvoke print seen\n")]);
    let lambda = lambda([function("f").layer(layer.path())]).await;
    let first = invoke(&lambda, "f", json!([])).await;
    let frozen = lambda.environments("f")[0].extensions[0].clone();
    assert_eq!((frozen.name.as_str(), frozen.process_state), ("watcher", Some('T')));
    let second = invoke(&lambda, "f", json!([])).await;
    assert_eq!(lambda.recycle("f").await.unwrap(), 1);
    assert_eq!(process_state(frozen.pid), None);

    expect![[r#"200 {"accountId":"123456789012","functionName":"f","functionVersion":"$LATEST","handler":"bootstrap"}"#]].assert_eq(&mask(&layer.told("watcher", "register").join("\n")));
    let events = layer.events("watcher");
    assert_eq!(events.len(), 3);
    for (event, invocation) in events.iter().zip([&first, &second]) {
        assert_eq!(event["eventType"], "INVOKE");
        assert_eq!(event["requestId"], invocation.request_id);
        assert_eq!(event["invokedFunctionArn"], "arn:aws:lambda:us-east-1:123456789012:function:f");
        assert_eq!(event["tracing"]["value"].as_str(), invocation.trace_header.as_deref());
    }
    assert_eq!(events[2]["shutdownReason"], "spindown");
    let log = log(&lambda, "f");
    let (init, invocations) = log.split_at(log.find("\"START").unwrap());
    assert!(
        init.contains(r#""EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n""#)
    );
    expect![[r#"
        "START RequestId: ID Version: $LATEST\n"
        "seen\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\tInit Duration: N.NN ms\t\n"
        "START RequestId: ID Version: $LATEST\n"
        "seen\n"
        "END RequestId: ID\n"
        "REPORT RequestId: ID\tDuration: N.NN ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t\n"
    "#]].assert_eq(invocations);
}
