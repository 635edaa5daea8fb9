//! Environments in less common ways: forty at once, restored, on a managed instance, out of memory, without telemetry or with
//! much.

use crate::account::{account, ended, sending_to, told};
use crate::program;
use crate::stories::{invocations, sink};
use lambda_otlp_tests::stories::Story;
use lambda_otlp_tests::stories::states::{End, MANY_LINES, Step};
use serde_json::json;
use simulator::{FunctionSpec, Initialization};

#[tokio::test]
async fn forty_environments_deliver_all_spans() {
    let sink = sink().await;
    let payload = json!({"spans": [3, 2], "root": true});
    let story = Story::crowd(&program(), 40, &payload, |spec| sending_to(sink.base(), spec)).await;
    assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
    let account = account(story, End::Shutdown, &sink).await;
    account.balances(false);
    assert_eq!((account.log.acknowledged, account.spilled()), (200, 0), "{account:?}");
    assert_eq!((account.delivered.len(), account.made), (200, 40), "{account:?}");
}

#[tokio::test]
async fn restored_environments_and_managed_instances_deliver_all_spans() {
    for initialization in [Initialization::SnapStart, Initialization::ManagedInstances] {
        let sink = sink().await;
        let change = |spec: FunctionSpec| spec.initialization(initialization);
        let account = told(&sink, sink.base(), &invocations(5), change).await;
        account.balances(false);
        let counts = (account.delivered.len(), account.spilled(), account.made);
        assert_eq!(counts, (15, 0, 5), "{initialization:?}: {account:?}");
    }
}

#[tokio::test]
async fn no_acknowledged_span_is_lost_when_memory_is_exhausted() {
    let sink = sink().await;
    let mut story = Story::with(&program(), |spec| sending_to(sink.base(), spec)).await;
    let payload = json!({"spans": [3], "root": true});
    story.invoke(payload.clone()).await;
    let hang = json!({"spans": [5], "end": "hang"});
    story.step(&Step::ExhaustMemory { label: "", payload: hang }).await;
    story.invoke(payload).await;
    assert_eq!(story.results(), ["\"done\"", "crash", "\"done\""]);
    let account = ended(story, &sink).await;
    account.balances(false);
    assert_eq!(account.delivered.len() + account.spilled(), 11, "{account:?}");
}

#[tokio::test]
async fn without_a_subscription_all_spans_are_delivered_or_spilled() {
    for status in [202, 404, 500] {
        let sink = sink().await;
        let mut story = Story::with(&program(), |spec| sending_to(sink.base(), spec)).await;
        story.lambda.telemetry("f").unwrap().answer_subscriptions(Some(status));
        for payload in invocations(5) {
            story.invoke(payload).await;
        }
        assert_eq!(story.results(), vec!["\"done\""; 5], "{status}");
        let account = ended(story, &sink).await;
        account.balances(false);
        assert_eq!(account.delivered.len() + account.spilled(), 15, "{status}: {account:?}");
    }
}

#[tokio::test]
async fn no_span_is_lost_beside_a_hundred_thousand_log_lines() {
    let sink = sink().await;
    let payloads = [
        json!({"spans": [3], "root": true}),
        json!({"spans": [3], "root": true, "lines": MANY_LINES}),
        json!({"spans": [3], "root": true}),
    ];
    let subscribed = |spec: FunctionSpec| spec.env("O2_TELEMETRY_TYPES", "platform,function");
    let account = told(&sink, sink.base(), &payloads, subscribed).await;
    // Five megabytes may exceed the time of the flush. The aborted rest is spilled, and may be at the backend too.
    account.balances(true);
    assert_eq!(account.log.acknowledged, 9, "{account:?}");
    let lines = account.log.text.iter().filter(|line| line.contains("a line of the function"));
    assert_eq!(lines.count(), MANY_LINES);
}
