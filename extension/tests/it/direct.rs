//! Direct mode with a function, in a local Lambda that freezes, kills and shuts down. The function's results are the same as
//! without the layer, and each acknowledged item is at the backend or in the log.

use crate::fake_lambda::direct::{always, started_backend};
use crate::program;
use crate::simulated::simulate;
use lambda_otlp_tests::simulation::states::{self, AMPLE, End, MANY_LINES, State, Step};
use lambda_otlp_tests::simulation::{EXTENSION, Log, Simulation, body};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse, Signal};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longer than a flush may take.
const FROZEN: Duration = Duration::from_secs(3);
/// Longer than the silence after which connections are taken for dead.
const LATE: Duration = Duration::from_secs(6);
const LINES: usize = 20;

/// Where the spans and lines of a function are in the end.
#[derive(Debug)]
struct Account {
    /// The function's spans that the backend has, and how often.
    delivered: BTreeMap<u64, usize>,
    /// Spans that the extension made, at the backend.
    made: usize,
    /// Log records at the backend, by their bodies.
    records: BTreeMap<String, usize>,
    log: Log,
}

impl Account {
    fn of(log: Log, backend: &FakeOpenObserve) -> Self {
        let mut delivered = BTreeMap::new();
        let mut made = 0;
        let mut records = BTreeMap::new();
        for span in backend.spans() {
            if span.scope.name == "the function" {
                let id = u64::from_be_bytes(span.item.span_id.try_into().unwrap());
                *delivered.entry(id).or_default() += 1;
            } else {
                made += 1;
            }
        }
        for record in backend.log_records() {
            *records.entry(body(&record.item).trim_end().to_owned()).or_default() += 1;
        }
        Self { delivered, made, records, log }
    }

    /// How many of the function's spans the backend and the log have.
    fn spans(&self) -> (usize, usize) {
        (self.delivered.len(), self.log.own.len())
    }

    /// Checks that each acknowledged span is at the backend or in the log, and at each at most once. `may_repeat` allows more if
    /// answers of the backend got lost, because the sender cannot know what the backend has.
    fn balances(&self, may_repeat: bool) {
        let is_anywhere =
            |id: &&u64| self.delivered.contains_key(id) || self.log.own.contains_key(id);
        let lost: Vec<_> = self.log.wrong.iter().filter(|id| !is_anywhere(id)).collect();
        assert_eq!(
            lost,
            [&0; 0],
            "of {} that were acknowledged: {self:?}",
            self.log.acknowledged.len()
        );
        assert!(self.log.own.values().all(|times| *times == 1), "{self:?}");
        assert_eq!(self.log.spilled_lines, self.log.otlp_lines, "each line is said to be spilled");
        if !may_repeat {
            assert!(self.delivered.values().all(|times| *times == 1), "{self:?}");
            let (delivered, spilled) = self.spans();
            assert_eq!(delivered + spilled, self.log.acknowledged.len(), "{self:?}");
        }
    }

    /// Each line that these invocations printed is at the backend or spilled, once. They print the same words.
    fn has_printed(&self, invocations: usize) {
        for number in 0..LINES {
            let line = format!("a line of the function, number {number}");
            let spilled = self.log.records.iter().filter(|body| body.trim_end() == line).count();
            let delivered = self.records.get(&line).copied().unwrap_or_default();
            assert_eq!(delivered + spilled, invocations, "{line}: {delivered} {spilled}");
        }
    }
}

/// Tells the simulation of a function whose extension sends to the backend, with these variables.
async fn sent(
    backend: &FakeOpenObserve,
    state: State,
    more: &[(&'static str, &'static str)],
) -> Account {
    let endpoint: &str = backend.base().to_owned().leak();
    let direct = [("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", endpoint)];
    let variables = [state.variables, &direct, more].concat().leak();
    Account::of(simulate(&State { variables, ..state }).await, backend)
}

fn invocations(number: usize, payload: &Value) -> State {
    let invoke = |_| Step::Invoke { label: "", payload: payload.clone() };
    State { steps: (0..number).map(invoke).collect(), ..states::cold() }
}

/// Invocations that send the root and two children, and print lines.
fn usual(number: usize) -> State {
    invocations(number, &json!({"spans": [3], "root": true, "lines": LINES}))
}

#[tokio::test]
async fn a_healthy_backend_gets_all_telemetry_and_stdout_none() {
    // The first invocations are flushed at their end, the later ones ride along or wait for SHUTDOWN.
    for state in [
        State { end: End::Killed, ..usual(3) },
        usual(8),
        states::frozen(),
        states::managed_instance(),
        states::managed_instance_of_the_emulator(),
        states::timeout(),
    ] {
        let name = state.name;
        let backend = started_backend().await;
        let prints = state.steps.len();
        let is_usual = name == usual(0).name;
        let account = sent(&backend, state, &[]).await;
        account.balances(false);
        assert_eq!(account.spans().1, 0, "{name}: {account:?}");
        if is_usual {
            assert_eq!(account.log.otlp_lines, 0, "{account:?}");
            account.has_printed(prints);
            assert_eq!(account.made, prints, "the invocations' own spans");
        }
    }
}

#[tokio::test]
async fn no_acknowledged_span_is_lost_whatever_happens_to_the_function() {
    for state in [
        states::handler_error(),
        states::panic(),
        states::crash(),
        states::out_of_memory(),
        states::subscription(202),
        states::subscription(404),
        states::subscription(500),
    ] {
        sent(&started_backend().await, state, &[]).await.balances(false);
    }
}

#[tokio::test]
async fn no_span_is_lost_beside_a_hundred_thousand_log_lines() {
    let account = sent(&started_backend().await, states::many_lines_subscribed(), &[]).await;
    // Five megabytes may exceed the time of the flush. The aborted rest is spilled, and may be at the backend too.
    account.balances(true);
    assert_eq!(account.log.acknowledged.len(), 9, "{account:?}");
    let lines = account.log.text.iter().filter(|line| line.contains("a line of the function"));
    assert_eq!(lines.count(), MANY_LINES);
}

#[tokio::test]
async fn what_the_backend_refuses_is_spilled_and_one_error_logged() {
    let wrong = &[("LAMBDA_OTLP_HEADERS", "authorization=Basic d3Jvbmc6aHVudGVyMjI=")][..];
    let guarded =
        FakeOpenObserve::builder().no_window().user("root@example.com", "pass").start().await;
    for (backend, variables, reason) in [
        (always(ScriptedResponse::Status(503)).await, &[][..], "cannot deliver"),
        (always(ScriptedResponse::held()).await, &[], "cannot deliver"),
        (guarded.unwrap(), wrong, "check the authorization"),
    ] {
        let account = sent(&backend, usual(5), variables).await;
        account.balances(false);
        account.has_printed(5);
        assert_eq!(account.spans(), (0, 15), "{account:?}");
        let lines = account.log.text.iter().filter(|line| line.contains(reason)).count();
        assert_eq!(lines, 1, "{reason}: {:?}", account.log.text);
        assert!(!account.log.has_text("hunter22") && !account.log.has_text("d3Jvbmc6"));
    }
}

#[tokio::test]
async fn spans_beyond_the_buffer_are_spilled_if_the_backend_hangs() {
    let backend = always(ScriptedResponse::held()).await;
    let state = invocations(3, &json!({"spans": [20, 20], "bytes": 20_000}));
    let account = sent(&backend, state, &[("O2_MAX_BUFFER_SIZE_MB", "1")]).await;
    account.balances(false);
    assert_eq!(account.spans(), (0, 120), "{account:?}");
}

#[tokio::test]
async fn a_recovering_backend_gets_all_spans() {
    use ScriptedResponse::{CloseAfterBody, CloseAfterStore, Status};
    for (script, may_repeat) in [
        (&[Status(503), Status(503), Status(503), Status(429)][..], false),
        // A lost response may repeat spans.
        (&[CloseAfterStore, CloseAfterBody], true),
    ] {
        let backend = started_backend().await;
        backend.script(script.iter().cloned());
        let account = sent(&backend, usual(8), &[]).await;
        account.balances(may_repeat);
        assert_eq!(account.spans(), (24, 0), "{account:?}");
    }
}

#[tokio::test]
async fn rejected_items_are_neither_resent_nor_spilled() {
    let backend = started_backend().await;
    backend.script_for(Signal::Traces, [ScriptedResponse::PartialSuccess(2)]);
    let account = sent(&backend, usual(5), &[]).await;
    assert!(account.delivered.values().all(|times| *times == 1), "{account:?}");
    let (delivered, spilled) = account.spans();
    assert_eq!((delivered + account.made, spilled), (15 + 5 - 2, 0), "{account:?}");
    assert!(account.log.has_text("rejected by the backend"), "{:?}", account.log.text);
}

/// A function whose extension sends there, and that is frozen or ended by the test.
async fn simulation(endpoint: &str) -> Simulation {
    Simulation::with(&program(), |spec| {
        spec.timeout(AMPLE).env("LAMBDA_OTLP_OUTPUT", "otlp").env("LAMBDA_OTLP_ENDPOINT", endpoint)
    })
    .await
}

fn one() -> Value {
    json!({"spans": [3], "root": true})
}

/// A flush never is under way when `next` is called, but the host of an environment may stop it at any moment.
#[tokio::test]
async fn an_extension_paused_during_a_flush_delivers_all_spans() {
    // The backend has the request and loses the connection meanwhile, before it has stored anything, or after.
    for answer in [ScriptedResponse::CloseAfterBody, ScriptedResponse::CloseAfterStore] {
        let backend = started_backend().await;
        backend.script_for(Signal::Traces, [ScriptedResponse::Held(Box::new(answer))]);
        let mut simulation = simulation(backend.base()).await;
        let running = simulation.lambda.begin_invocation("f", one().to_string()).unwrap();
        while backend.requests().iter().all(|request| request.signal != Some(Signal::Traces)) {
            tokio::task::yield_now().await;
        }
        assert_eq!(simulation.lambda.stop_extension("f", EXTENSION), 1);
        backend.release();
        tokio::time::sleep(FROZEN).await;
        assert_eq!(simulation.lambda.continue_extension("f", EXTENSION), 1);
        assert!(running.finished().await.unwrap().is_success());
        simulation.invoke(one()).await;
        simulation.invoke(one()).await;
        let account = Account::of(simulation.end(End::Shutdown).await, &backend);
        account.balances(true);
        assert_eq!(account.spans(), (9, 0), "{account:?}");
    }
}

#[tokio::test]
async fn an_environment_thawed_late_sends_on_new_connections() {
    let backend = started_backend().await;
    let (address, forgotten) = forgetful_gateway(backend.address()).await;
    let mut simulation =
        simulation(&backend.base().replace(&backend.address().to_string(), &address.to_string()))
            .await;
    simulation.invoke(one()).await;
    let before = backend.spans().len();
    assert!(before >= 3, "the first invocation is kept for its flush");
    forgotten.send_replace(());
    tokio::time::sleep(LATE).await;
    simulation.invoke(one()).await;
    assert!(backend.spans().len() >= before + 3, "what it left is sent before it is frozen again");
    let account = Account::of(simulation.end(End::Killed).await, &backend);
    account.balances(false);
    assert_eq!(account.spans(), (6, 0), "{account:?}");
}

/// A NAT gateway between function and backend, which silently forgets its connections when the test asks for it.
async fn forgetful_gateway(backend: SocketAddr) -> (SocketAddr, watch::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (forgotten, receiver) = watch::channel(());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut forgotten = receiver.clone();
            forgotten.mark_unchanged();
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
    (address, forgotten)
}
