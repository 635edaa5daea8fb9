//! Ended executions, from the status event in a queue to their spans.

mod memory;
mod stand_in;

use crate::support::{Backend, Telemetry, payload, takes, variables};
use lambda_otlp_forwarder::{
    Config, Content, Event, Executions, Export, Forwarder, IngestPolicy, InvocationContext,
    Message, Options, Queue, QueueError, QueuedTelemetry, Queues, Report, answer,
    default_destination, wall_clock_now,
};
use serde_json::{Value, json};
use stand_in::{Answer, Call, StandIn, durable_page, page, refusal};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;
use wire::ids::to_hex;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:executions";
const RETRY_QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:retry";
const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:execution:orders:7c1f";
const DURABLE: &str =
    "arn:aws:lambda:eu-west-1:123456789012:function:orders:7/durable-execution/o/1";
const START_MS: u64 = 1_790_000_000_000;

/// A message that a queue got.
#[derive(Clone)]
struct KeptMessage {
    body: String,
    delay: Duration,
}

/// Queues that keep what they get.
#[derive(Clone, Default)]
struct Kept {
    sent: Arc<Mutex<Vec<KeptMessage>>>,
    postponed: Arc<Mutex<Vec<Duration>>>,
    is_down: bool,
}

impl Kept {
    fn queued(&self) -> Vec<QueuedTelemetry> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|sent| QueuedTelemetry::from_body(&sent.body).unwrap()).collect()
    }
}

impl Queue for Kept {
    async fn send(&self, messages: Vec<&mut Message>, delay: Duration, _: Instant) {
        for message in messages {
            if self.is_down {
                message.answer = Some(Err(QueueError::refused("down")));
                continue;
            }
            self.sent.lock().unwrap().push(KeptMessage { body: message.body.clone(), delay });
            message.answer = Some(Ok(()));
        }
    }

    async fn postpone(&self, _: &str, delay: Duration, _: Instant) -> Result<(), QueueError> {
        self.postponed.lock().unwrap().push(delay);
        Ok(())
    }
}

/// What an invocation did.
struct Done {
    report: Report,
    telemetry: Telemetry,
    retry: Kept,
    dead_letters: Kept,
}

impl Done {
    /// Names, parents and ids of the spans.
    fn tree(&self) -> Vec<String> {
        let shown = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
            let status = span.status.as_ref().map_or("", |_| " ERROR");
            let begin = |id: &[u8]| to_hex(id).chars().take(6).collect::<String>();
            let trace = begin(&span.trace_id);
            let own = begin(&span.span_id);
            let parent = begin(&span.parent_span_id);
            format!("{} {trace}/{parent}>{own}{status}", span.name)
        };
        self.telemetry.spans().map(shown).collect()
    }

    fn waits(&self) -> QueuedTelemetry {
        let [queued] = self.retry.queued().try_into().unwrap();
        queued
    }

    fn ledger(&self) -> [usize; 5] {
        let ledger = self.report.ledger();
        assert!(self.report.ledgers.balances(), "{ledger:?}");
        let items = ledger.items;
        [items.spans, items.executions, ledger.parked, ledger.dead_lettered, ledger.returned]
    }
}

/// The settings of a forwarder with a reader of histories at this address.
fn config(url: Option<&str>) -> Config {
    let mut others = vec![
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
    ];
    if let Some(url) = url {
        others.push(("LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN", QUEUE));
        others.push(("AWS_ENDPOINT_URL", url));
    }
    let variables = variables("http://127.0.0.1:9/api/default", &others);
    let mut config = Config::from_source(&variables).0.unwrap();
    config.old_records = IngestPolicy::any_time();
    config
}

/// Forwards an event with a reader of histories at this address.
async fn forward(url: Option<&str>, event: Value, retry: Kept, time: Duration) -> Done {
    let config = config(url);
    let received = Arc::<Mutex<Vec<Request>>>::default();
    let noted = Arc::clone(&received);
    let backend = Backend(move |request: &Request| {
        noted.lock().unwrap().push(request.clone());
        takes(request)
    });
    let dead_letters = Kept::default();
    let report = forward_to(&config, backend, event, [&retry, &dead_letters], time).await;
    let telemetry = Telemetry::of(&received.lock().unwrap());
    Done { report, telemetry, retry, dead_letters }
}

/// Forwards an event to a backend that keeps nothing.
async fn forward_and_forget(url: &str, event: Value) -> Report {
    let config = config(Some(url));
    let queues = [Kept::default(), Kept::default()];
    let time = Duration::from_mins(1);
    forward_to(&config, Backend(takes), event, queues.each_ref(), time).await
}

async fn forward_to(
    config: &Config,
    backend: impl Export + 'static,
    event: Value,
    [retry, dead_letters]: [&Kept; 2],
    time: Duration,
) -> Report {
    let queues = Queues { retry: Some(retry.clone()), dead_letters: Some(dead_letters.clone()) };
    let executions = config.executions.as_ref().map(|it| Executions::new(it, wall_clock_now));
    let destinations = vec![default_destination(config, backend)];
    let forwarder =
        Forwarder::new(destinations, queues, Options::of(config)).with_executions(executions);
    let begin = Instant::now();
    let invocation = InvocationContext {
        observed_unix_nano: (START_MS + 60_000) * 1_000_000,
        deadline: begin + time,
        queue_deadline: begin + time + Duration::from_secs(5),
        account: Some("123456789012".to_owned()),
    };
    let event: Event = serde_json::from_value(event).unwrap();
    forwarder.forward(event, &invocation).await
}

fn message(queue: &str, body: &str, receptions: u32) -> Value {
    json!({ "Records": [{
        "messageId": "m", "receiptHandle": "r", "body": body, "eventSource": "aws:sqs",
        "eventSourceARN": queue, "awsRegion": "eu-west-1",
        "attributes": { "ApproximateReceiveCount": receptions.to_string() },
    }] })
}

fn machine_event() -> Value {
    json!({
        "version": "0", "id": "e", "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "account": "123456789012", "region": "eu-west-1", "time": "2026-09-21T14:13:20Z",
        "resources": [MACHINE],
        "detail": {
            "executionArn": MACHINE, "name": "7c1f", "status": "FAILED",
            "startDate": START_MS, "stopDate": START_MS + 100,
            "error": "Declined", "cause": "no money", "input": "{\"card\":\"4242\"}",
        },
    })
}

fn durable_event() -> Value {
    json!({
        "source": "aws.lambda", "detail-type": "Durable Execution Status Change",
        "account": "123456789012", "region": "eu-west-1", "resources": [],
        "detail": {
            "durableExecutionArn": DURABLE, "durableExecutionName": "o", "status": "SUCCEEDED",
            "startTimestamp": "2026-09-21T14:13:20.000Z", "endTimestamp": "2026-09-21T14:13:21.000Z",
        },
    })
}

#[expect(clippy::cast_precision_loss, reason = "small enough")]
fn seconds(ms: u64) -> f64 {
    (START_MS + ms) as f64 / 1000.0
}

fn machine_history() -> Vec<Value> {
    let failed = json!({ "error": "Declined", "cause": "no money" });
    let of = |id: u64, kind: &str, key: &str, details: Value| json!({ "id": id, "previousEventId": id.saturating_sub(1), "timestamp": seconds(id), "type": kind, key: details });
    let function = json!({ "resource": "arn:aws:lambda:eu-west-1:123456789012:function:pay" });
    vec![
        of(1, "ExecutionStarted", "executionStartedEventDetails", json!({})),
        of(2, "TaskStateEntered", "stateEnteredEventDetails", json!({ "name": "pay" })),
        of(3, "LambdaFunctionScheduled", "lambdaFunctionScheduledEventDetails", function),
        of(4, "LambdaFunctionFailed", "lambdaFunctionFailedEventDetails", failed.clone()),
        of(5, "ExecutionFailed", "executionFailedEventDetails", failed),
    ]
}

fn durable_history() -> Vec<Value> {
    let of = |id: u64, kind: &str, operation: &str| json!({ "EventId": id, "EventTimestamp": seconds(id), "EventType": kind, "Id": operation, "Name": operation });
    vec![
        of(1, "ExecutionStarted", "x"),
        of(2, "WaitStarted", "cooldown"),
        of(3, "WaitSucceeded", "cooldown"),
        of(4, "ExecutionSucceeded", "x"),
    ]
}

fn whole_history(_: usize, _: &Call) -> Answer {
    page(&machine_history(), None)
}

/// Forwards the status event of the machine.
async fn forward_machine(stand_in: &StandIn) -> Done {
    let event = message(QUEUE, &machine_event().to_string(), 1);
    forward(Some(&stand_in.url()), event, Kept::default(), Duration::from_secs(20)).await
}

/// The id of the function's parent, as step-functions' context object gives it: `sha256(ARN#pay#2026-09-21T14:13:20.002Z)`.
const TREE: [&str; 2] = ["orders execution 04bc61/>04bc61 ERROR", "pay 04bc61/04bc61>137e14 ERROR"];

#[tokio::test]
async fn a_machines_execution_is_one_trace() {
    let stand_in = StandIn::start(|_, call| {
        let events = machine_history();
        match call.text("nextToken") {
            None => page(&events[3..], Some("two")),
            Some("two") => page(&events[..4], Some("three")),
            Some(_) => page(&[], None),
        }
    })
    .await;
    let done = forward_machine(&stand_in).await;
    assert_eq!(done.tree(), TREE);
    assert_eq!(done.ledger(), [2, 0, 0, 0, 0]);
    assert_eq!(answer(&done.report).unwrap(), json!({ "batchItemFailures": [] }));
    let calls = stand_in.calls();
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!(call.operation, "AWSStepFunctions.GetExecutionHistory");
        assert_eq!(call.text("executionArn"), Some(MACHINE));
        assert_eq!(call.input["includeExecutionData"], false);
        assert_eq!(call.input["maxResults"], 1000);
    }
}

#[tokio::test]
async fn a_durable_execution_is_one_trace() {
    for (header, trace) in [
        (Value::Null, "6ab13b80"),
        (json!("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0"), "6ab13b80"),
        (json!("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"), "5759e988"),
    ] {
        let stand_in = StandIn::start(move |_, call| {
            if call.operation.ends_with("/history") {
                let events = durable_history();
                return match call.text("Marker") {
                    None => durable_page(&events[..2], Some("m")),
                    Some(_) => durable_page(&events[2..], None),
                };
            }
            let header = json!({ "XAmznTraceId": header });
            Answer::Is(200, json!({ "TraceHeader": header, "Status": "SUCCEEDED" }).to_string())
        })
        .await;
        let event = message(QUEUE, &durable_event().to_string(), 1);
        let url = stand_in.url();
        let done = forward(Some(&url), event, Kept::default(), Duration::from_secs(20)).await;
        let spans: Vec<_> = done.telemetry.spans().collect();
        assert_eq!(spans.len(), 2, "{:?}", done.retry.queued());
        assert!(spans.iter().all(|span| to_hex(&span.trace_id).starts_with(trace)), "{trace}");
        let path = "/2025-12-01/durable-executions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders%3A7%2Fdurable-execution%2Fo%2F1";
        let expected =
            [format!("GET {path}/history"), format!("GET {path}/history"), format!("GET {path}")];
        let calls = stand_in.calls();
        let operations: Vec<_> = calls.iter().map(|call| call.operation.clone()).collect();
        assert_eq!(operations, expected);
        assert!(calls.iter().all(|call| call.text("IncludeExecutionData") == Some("false")));
    }
}

#[tokio::test]
async fn a_child_of_a_distributed_map_links_to_the_execution_that_started_it() {
    const MAP_RUN: &str = "arn:aws:states:eu-west-1:123456789012:mapRun:orders/Items:5f";
    for (map_run, links) in [(json!(MAP_RUN), 1), (Value::Null, 0)] {
        let stand_in = StandIn::start(move |_, call| match call.operation.as_str() {
            "AWSStepFunctions.DescribeExecution" => {
                assert_eq!(call.text("includedData"), Some("METADATA_ONLY"));
                Answer::Is(200, json!({ "mapRunArn": map_run }).to_string())
            }
            "AWSStepFunctions.DescribeMapRun" => {
                assert_eq!(call.text("mapRunArn"), Some(MAP_RUN));
                Answer::Is(200, json!({ "executionArn": MACHINE }).to_string())
            }
            _ => page(&machine_history(), None),
        })
        .await;
        let mut event = machine_event();
        event["detail"]["executionArn"] = json!(MACHINE.replace("orders:", "orders/Items:"));
        let event = message(QUEUE, &event.to_string(), 1);
        let url = stand_in.url();
        let done = forward(Some(&url), event, Kept::default(), Duration::from_secs(20)).await;
        let root = done.telemetry.spans().next().unwrap();
        assert_eq!((root.name.as_str(), root.links.len()), ("orders execution", links));
        let named = root.attributes.iter().any(|own| own.key == "aws.step_functions.map_run.arn");
        assert_eq!(named, links == 1, "the Map's state has the same attribute");
        // The span of the execution that the machine's own events give.
        let linked = root.links.iter().all(|link| to_hex(&link.span_id).starts_with("04bc61"));
        assert!(linked);
    }
}

#[tokio::test]
async fn throttling_for_a_moment_costs_nothing() {
    for throttling in
        [refusal(400, "ThrottlingException"), refusal(429, "TooManyRequestsException")]
    {
        let stand_in = StandIn::start(move |number, call| match number {
            0 => throttling.clone(),
            _ => whole_history(number, call),
        })
        .await;
        let done = forward_machine(&stand_in).await;
        assert_eq!(done.tree(), TREE);
    }
}

#[tokio::test]
async fn a_page_that_is_too_large_is_read_in_smaller_ones() {
    let stand_in = StandIn::start(|_, call| match call.input["maxResults"].as_u64().unwrap() {
        1000 => Answer::Is(200, format!("{{\"events\":[],\"x\":\"{}\"}}", "x".repeat(9 << 20))),
        _ => page(&machine_history(), None),
    })
    .await;
    let done = forward_machine(&stand_in).await;
    assert_eq!(done.tree(), TREE);
}

/// Everything that keeps a history from being read: the execution waits, nothing is lost, and the next attempt makes the same spans.
#[tokio::test]
async fn an_execution_waits_for_its_history() {
    let incomplete = page(&machine_history()[..4], None);
    let without_begin = page(&machine_history()[1..], None);
    let same_page = page(&machine_history()[..1], Some("again"));
    for (what, answer, reason) in [
        ("throttled", refusal(400, "ThrottlingException"), "ThrottlingException"),
        ("forbidden", refusal(400, "AccessDeniedException"), "allow states:GetExecutionHistory"),
        ("forbidden", refusal(403, "AccessDeniedException"), "allow states:GetExecutionHistory"),
        ("missing", refusal(400, "ExecutionDoesNotExist"), "ExecutionDoesNotExist"),
        ("broken", refusal(500, "InternalFailure"), "InternalFailure"),
        ("incomplete", incomplete, "the history is incomplete"),
        ("without its begin", without_begin, "the history is incomplete"),
        ("empty", page(&[], None), "the history is incomplete"),
        ("endless", same_page, "the same page again"),
        ("of a proxy", Answer::Is(502, "<html>".to_owned()), "HTTP 502 without an answer of AWS"),
        ("no JSON", Answer::Is(200, "<html>".to_owned()), "is no page of a history"),
        ("other JSON", Answer::Is(200, "{\"events\":7}".to_owned()), "is no page of a history"),
        ("deep", Answer::Is(200, "{\"events\":[".to_owned() + &"[".repeat(100_000)), "is no page"),
        ("silent", Answer::Never, "failed: "),
    ] {
        let stand_in = StandIn::start(move |_, _| answer.clone()).await;
        let event = message(QUEUE, &machine_event().to_string(), 1);
        let time = Duration::from_secs(if what == "silent" { 1 } else { 30 });
        let done = forward(Some(&stand_in.url()), event, Kept::default(), time).await;
        assert_eq!((what, done.ledger()), (what, [0, 1, 1, 0, 0]));
        let waits = done.waits();
        assert!(waits.reason.contains(reason), "{what}: {}", waits.reason);
        let KeptMessage { body, delay } = done.retry.sent.lock().unwrap()[0].clone();
        assert_eq!(delay, Duration::from_secs(30));
        assert!(!body.contains("4242") && matches!(waits.content, Content::Execution(_)));
        // From the retry queue, it waits in its message, and the first good answer ends that.
        let again = message(RETRY_QUEUE, &body, 2);
        let url = stand_in.url();
        let waiting = forward(Some(&url), again.clone(), Kept::default(), time).await;
        assert_eq!((what, waiting.ledger()), (what, [0, 1, 0, 0, 1]));
        let failures = json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] });
        assert_eq!(lambda_otlp_forwarder::answer(&waiting.report).unwrap(), failures);
        assert_eq!(waiting.retry.postponed.lock().unwrap().len(), 1);
        let healthy = StandIn::start(whole_history).await;
        let time = Duration::from_secs(20);
        let done = forward(Some(&healthy.url()), again, Kept::default(), time).await;
        assert_eq!((what, done.tree()), (what, TREE.map(str::to_owned).to_vec()));
    }
}

#[tokio::test]
async fn after_the_last_attempt_the_execution_has_at_least_its_own_span() {
    for (answer, tree, warning) in [
        (
            refusal(403, "AccessDeniedException"),
            TREE[..1].to_vec(),
            "has no complete trace: states:GetExecutionHistory was refused with AccessDeniedException: no; allow states:GetExecutionHistory",
        ),
        (page(&machine_history()[..4], None), TREE.to_vec(), "the history is incomplete"),
    ] {
        let stand_in = StandIn::start(move |_, _| answer.clone()).await;
        let first = forward_machine(&stand_in).await;
        let KeptMessage { body, .. } = first.retry.sent.lock().unwrap()[0].clone();
        let last = message(RETRY_QUEUE, &body, 8);
        let time = Duration::from_secs(20);
        let done = forward(Some(&stand_in.url()), last, Kept::default(), time).await;
        assert_eq!(done.tree(), tree);
        assert_eq!(done.ledger(), [tree.len(), 0, 0, 0, 0]);
        assert!(done.report.warnings[0].contains(warning), "{:?}", done.report.warnings);
        let root = done.telemetry.spans().next().unwrap();
        assert_eq!(root.status.as_ref().unwrap().message, "no money");
    }
}

#[tokio::test]
async fn without_the_retry_queue_the_message_comes_again() {
    let stand_in = StandIn::start(|_, _| refusal(400, "ExecutionDoesNotExist")).await;
    let event = message(QUEUE, &machine_event().to_string(), 1);
    let retry = Kept { is_down: true, ..Kept::default() };
    let done = forward(Some(&stand_in.url()), event, retry, Duration::from_secs(20)).await;
    assert_eq!(done.ledger(), [0, 1, 0, 0, 1]);
    let failures = json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] });
    assert_eq!(answer(&done.report).unwrap(), failures);
}

#[tokio::test]
async fn only_the_queue_of_the_rule_makes_executions() {
    let stand_in = StandIn::start(whole_history).await;
    let url = stand_in.url();
    let body = machine_event().to_string();
    let changed = |pointer: &str, value: Value| {
        let mut event = machine_event();
        *event.pointer_mut(pointer).unwrap() = value;
        event.to_string()
    };
    let account = MACHINE.replace("123456789012", "210987654321");
    let other_account = changed("/detail/executionArn", json!(account));
    let foreign = "an execution of another account or region";
    for (what, queue, body, reason) in [
        ("another queue", RETRY_QUEUE, body.clone(), "not a queue message"),
        ("no queue", "", body.clone(), "not a queue message"),
        ("another account", QUEUE, changed("/account", json!("210987654321")), foreign),
        ("another region", QUEUE, changed("/region", json!("eu-west-2")), foreign),
        ("an ARN of another account", QUEUE, other_account, foreign),
        ("another source", QUEUE, changed("/source", json!("shop")), "not a status event"),
        ("a running execution", QUEUE, changed("/detail/status", json!("RUNNING")), "not ended"),
        ("no JSON", QUEUE, "x".to_owned(), "not a status event"),
    ] {
        let time = Duration::from_secs(20);
        let done = forward(Some(&url), message(queue, &body, 1), Kept::default(), time).await;
        assert_eq!((what, done.tree()), (what, Vec::new()));
        assert_eq!((what, done.ledger()), (what, [0, 0, 0, 1, 0]));
        let letters = done.dead_letters.queued();
        assert!(letters[0].reason.contains(reason), "{what}: {}", letters[0].reason);
    }
    // Without the setting, no queue is trusted.
    let time = Duration::from_secs(20);
    let off = forward(None, message(QUEUE, &body, 1), Kept::default(), time).await;
    assert_eq!((off.tree(), off.ledger()), (Vec::new(), [0, 0, 0, 1, 0]));
    // A direct invocation.
    let direct = forward(Some(&url), machine_event(), Kept::default(), time).await;
    assert!(direct.report.read_error.is_some());
    assert_eq!(direct.tree(), Vec::<String>::new());
    // A line.
    let gzip =
        wire::gzip::compress(6, payload("/aws/lambda/orders", &[&body]).to_string().as_bytes());
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, gzip);
    let line =
        forward(Some(&url), json!({ "awslogs": { "data": data } }), Kept::default(), time).await;
    assert_eq!((line.tree(), line.telemetry.records().count()), (Vec::new(), 1));
    assert!(stand_in.calls().is_empty());
}
