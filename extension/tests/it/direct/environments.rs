//! Environments in less common ways: forty at once, restored, on a managed instance, out of memory, without telemetry or with
//! much, and frozen during a flush.

use crate::direct::stories::{invocations, sink};
use crate::direct::{account, ended, run_story, sending_to};
use crate::program;
use lambda_otlp_tests::stories::states::{End, MANY_LINES, Step};
use lambda_otlp_tests::stories::{EXTENSION, Story};
use local_lambda::{FunctionSpec, Initialization};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use test_support::openobserve::{ScriptedResponse, Signal, Sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longer than a flush may take.
const FROZEN: Duration = Duration::from_secs(3);
/// Longer than the silence after which connections are taken for dead.
const LATE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn restored_environments_and_managed_instances_deliver_all_spans() {
    for initialization in [Initialization::SnapStart, Initialization::ManagedInstances] {
        let sink = sink().await;
        let change = |spec: FunctionSpec| spec.initialization(initialization);
        let account = run_story(&sink, sink.base(), &invocations(5), change).await;
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
    let account = run_story(&sink, sink.base(), &payloads, subscribed).await;
    // Five megabytes may exceed the time of the flush. The aborted rest is spilled, and may be at the backend too.
    account.balances(true);
    assert_eq!(account.log.acknowledged, 9, "{account:?}");
    let lines = account.log.text.iter().filter(|line| line.contains("a line of the function"));
    assert_eq!(lines.count(), MANY_LINES);
}

/// A flush never is under way when `next` is called, but the host of an environment may stop it at any moment.
#[tokio::test]
async fn an_extension_paused_during_a_flush_delivers_all_spans() {
    // The backend has the request and loses the connection meanwhile, before it has stored anything, or after.
    for answer in [ScriptedResponse::CloseAfterBody, ScriptedResponse::CloseAfterStore] {
        let sink = sink().await;
        sink.script_for(Signal::Traces, [ScriptedResponse::Held(Box::new(answer))]);
        let mut story = Story::with(&program(), |spec| sending_to(sink.base(), spec)).await;
        let running = story.lambda.begin_invocation("f", invocations(1)[0].to_string()).unwrap();
        let traces = |sink: &Sink| {
            sink.requests().iter().any(|request| request.signal == Some(Signal::Traces))
        };
        while !traces(&sink) {
            tokio::task::yield_now().await;
        }
        assert_eq!(story.lambda.stop_extension("f", EXTENSION), 1);
        sink.release();
        tokio::time::sleep(FROZEN).await;
        assert_eq!(story.lambda.continue_extension("f", EXTENSION), 1);
        assert!(running.finished().await.unwrap().is_success());
        for payload in invocations(2) {
            story.invoke(payload).await;
        }
        let account = ended(story, &sink).await;
        account.balances(true);
        assert_eq!((account.delivered.len(), account.spilled()), (9, 0), "{account:?}");
    }
}

#[tokio::test]
async fn an_environment_thawed_late_sends_on_new_connections() {
    let sink = sink().await;
    let path = Path::start(&sink).await;
    let endpoint = sink.base().replace(&sink.address().to_string(), &path.address.to_string());
    let mut story = Story::with(&program(), |spec| sending_to(&endpoint, spec)).await;
    story.invoke(invocations(1).remove(0)).await;
    let before = sink.spans().len();
    assert!(before >= 3, "the first invocation is kept for its flush");
    path.forget_connections();
    tokio::time::sleep(LATE).await;
    story.invoke(invocations(1).remove(0)).await;
    assert!(sink.spans().len() >= before + 3, "what it left is sent before it is frozen again");
    let account = account(story, End::Killed, &sink).await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (6, 0), "{account:?}");
}

/// A NAT gateway between function and backend, which silently forgets idle connections.
struct Path {
    address: SocketAddr,
    forgotten: watch::Sender<u64>,
}

impl Path {
    async fn start(sink: &Sink) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, backend) = (listener.local_addr().unwrap(), sink.address());
        let forgotten = watch::Sender::new(0);
        let forgetting = forgotten.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut forgotten = forgetting.subscribe();
                tokio::spawn(async move {
                    let mut backend = TcpStream::connect(backend).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut backend) => {}
                        // Both stay open, and nothing passes any more.
                        _ = forgotten.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, forgotten }
    }

    fn forget_connections(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

#[tokio::test]
async fn the_first_invocations_are_flushed_before_the_freeze() {
    let sink = sink().await;
    // An environment's first three invocations are kept for their flushes.
    let mut story = Story::with(&program(), |spec| sending_to(sink.base(), spec)).await;
    for payload in invocations(3) {
        story.invoke(payload).await;
    }
    let account = account(story, End::Killed, &sink).await;
    account.balances(false);
    assert_eq!((account.delivered.len(), account.spilled()), (9, 0), "{account:?}");
}
