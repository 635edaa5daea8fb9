//! Runs the path: invocations of a function, its log group, the forwarder, a backend.

use super::Arguments;
use super::accounting::{Item, LedgerLine, What};
use super::reports;
use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use simulator::sink::{Sink, StoredLogRecord, StoredMetric, StoredSpan};
use simulator::{FunctionSpec, Invocation, Lambda, Outcome, binaries};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The attribute that carries an item's number.
pub(super) const NUMBER: &str = "demo.number";

const FUNCTION: &str = "orders";
const FORWARDER: &str = "lambda-otlp-forwarder";
const FORWARDER_ELSEWHERE: &str = "lambda-otlp-forwarder-elsewhere";
const USER: &str = "root@example.com";
const PASSWORD: &str = "demo";
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(2);

/// What was run, and what arrived.
pub(crate) struct Run {
    pub(super) invocations: Vec<(&'static str, Invocation)>,
    pub(super) forwarder_invocations: Vec<Invocation>,
    /// Log events of the function, Lambda's own included.
    pub(super) log_events: usize,
    /// Their text by id.
    pub(super) lines: BTreeMap<String, String>,
    pub(super) ledger: Vec<LedgerLine>,
    /// What else was made: the other lines of the log group, and what its reports add up to.
    pub(super) others: Vec<Item>,
    pub(super) stored: Vec<Item>,
    pub(super) spans: Vec<StoredSpan>,
    pub(super) log_records: Vec<StoredLogRecord>,
    pub(super) metrics: Vec<StoredMetric>,
    /// What OpenObserve would have stored wrong.
    pub(super) oddities: Vec<String>,
    /// Why the user's own backend did not take everything.
    pub(super) refused_elsewhere: BTreeSet<String>,
    /// Whether the user's own backend was asked.
    pub(super) elsewhere: Option<String>,
    /// Records that the backend was told to lose.
    pub(super) lost_on_purpose: u64,
}

/// What the function is told, in order. Each has its own range of numbers.
const STORY: [(&str, &str); 7] = [
    ("cold, success", "ok"),
    ("warm, success", "ok"),
    ("handler error", "error"),
    ("warm, success", "ok"),
    ("panic", "panic"),
    ("timeout", "timeout"),
    ("after the timeout", "ok"),
];

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Run> {
    check_elsewhere(arguments)?;
    progress("building the function and the forwarder (cargo build)");
    let workspace = workspace()?;
    let built = binaries::build(&workspace, &["lambda-otlp-demo", "lambda-otlp-forwarder"])?;
    let function = binaries::find(&built, "demo-function")?;
    let forwarder = binaries::find(&built, "lambda-otlp-forwarder")?;
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let ledger = directory.path().join("made.jsonl");

    let sink = Sink::builder().user(USER, PASSWORD).start().await?;
    progress(&format!(
        "backend: a fake OpenObserve on {} (process {})",
        sink.base(),
        std::process::id()
    ));
    sink.lose(arguments.lose);
    let lambda = Lambda::start().await?;
    lambda.create_function(
        FunctionSpec::new(FUNCTION, function)
            .timeout(FUNCTION_TIMEOUT)
            .env("DEMO_LEDGER", ledger.to_string_lossy()),
    )?;
    let authorization = format!("authorization=Basic {}", base64(&format!("{USER}:{PASSWORD}")));
    subscribe(&lambda, &forwarder, FORWARDER, sink.base(), &authorization)?;
    if let Some(endpoint) = &arguments.endpoint {
        subscribe(
            &lambda,
            &forwarder,
            FORWARDER_ELSEWHERE,
            endpoint,
            &arguments.headers.join(","),
        )?;
    }

    let mut invocations = Vec::new();
    for (index, (label, action)) in STORY.into_iter().enumerate() {
        progress(&format!("invoking {FUNCTION}: {label}"));
        let body = serde_json::json!({"action": action, "children": 2, "first_number": (index + 1) * 1000});
        let invocation = lambda.invoke(FUNCTION, event(&body).to_string()).await?;
        invocations.push((label, invocation));
    }
    progress("CloudWatch Logs delivers the log group to the forwarder");
    lambda.flush_subscriptions().await;

    let log_events = lambda.log_events(FUNCTION);
    let refused_elsewhere: BTreeSet<String> = lambda
        .invocations(FORWARDER_ELSEWHERE)
        .iter()
        .filter(|invocation| !invocation.is_success())
        .map(|invocation| match &invocation.outcome {
            Outcome::FunctionError { body, .. } => super::view::error_message(body),
            other => format!("{other:?}"),
        })
        .collect();
    let run = Run {
        forwarder_invocations: lambda.invocations(FORWARDER),
        log_events: log_events.len(),
        lines: log_events.iter().map(|event| (event.id.clone(), event.message.clone())).collect(),
        ledger: read_ledger(&ledger)?,
        others: reports::made(&log_events),
        stored: numbers(&sink).into_iter().chain(reports::stored(&sink)).collect(),
        spans: sink.spans(),
        log_records: sink.log_records(),
        metrics: sink.metrics(),
        oddities: sink.oddities().iter().map(|oddity| format!("{oddity:?}")).collect(),
        refused_elsewhere,
        elsewhere: arguments.endpoint.clone(),
        lost_on_purpose: sink.counts().lost,
        invocations,
    };
    lambda.shut_down().await;
    Ok(run)
}

/// Says what is wrong with `--endpoint` and `--header` before anything is built or run.
fn check_elsewhere(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(endpoint) = &arguments.endpoint else { return Ok(()) };
    if let Some(header) = arguments.headers.iter().find(|header| !header.contains('=')) {
        bail!("--header {header}: expected K=V, for example \"authorization=Basic …\"");
    }
    let variables = HashMap::from([
        ("LAMBDA_OTLP_ENDPOINT".to_owned(), endpoint.clone()),
        ("LAMBDA_OTLP_HEADERS".to_owned(), arguments.headers.join(",")),
    ]);
    let (config, _) = forwarder::config::Config::from_source(&variables);
    config.map(|_| ()).context("--endpoint and --header, which become the forwarder's variables")
}

fn progress(text: &str) {
    eprintln!("· {text}");
}

fn subscribe(
    lambda: &Lambda,
    forwarder: &Path,
    name: &str,
    endpoint: &str,
    headers: &str,
) -> anyhow::Result<()> {
    lambda.create_function(
        FunctionSpec::new(name, forwarder)
            .timeout(Duration::from_secs(30))
            .memory_mb(256)
            .env("LAMBDA_OTLP_ENDPOINT", endpoint)
            .env("LAMBDA_OTLP_HEADERS", headers),
    )?;
    lambda.subscribe(&format!("/aws/lambda/{FUNCTION}"), name, "")?;
    Ok(())
}

/// The checkout that this program was built from, else the one that it runs in.
fn workspace() -> anyhow::Result<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for directory in [built_from, PathBuf::from(".")] {
        if directory.join("demo/Cargo.toml").is_file() {
            return Ok(directory);
        }
    }
    bail!("the demo builds its function from source: run it in a checkout of lambda-otlp")
}

/// An HTTP API event (payload format 2.0), as API Gateway sends it.
fn event(body: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "version": "2.0",
        "routeKey": "POST /orders/{id}",
        "rawPath": "/orders/7",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "orders.example.com",
            "user-agent": "lambda-otlp demo", "x-forwarded-proto": "https"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "demo", "domainName": "orders.example.com",
            "domainPrefix": "orders", "requestId": "demo", "routeKey": "POST /orders/{id}", "stage": "$default",
            "time": "21/Sep/2026:14:13:20 +0000", "timeEpoch": 1_790_000_000_000_u64,
            "http": {"method": "POST", "path": "/orders/7", "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.9", "userAgent": "lambda-otlp demo"}
        },
        "pathParameters": {"id": "7"},
        "body": body.to_string(),
        "isBase64Encoded": false
    })
}

fn read_ledger(path: &Path) -> anyhow::Result<Vec<LedgerLine>> {
    let text = std::fs::read_to_string(path).context("the function wrote no ledger")?;
    text.lines().map(|line| serde_json::from_str(line).context("the function's ledger")).collect()
}

/// The numbers of all items that the backend stored.
fn numbers(sink: &Sink) -> Vec<Item> {
    let spans =
        sink.spans().into_iter().filter_map(|span| number(&span.item.attributes, What::Span));
    let log_records = sink
        .log_records()
        .into_iter()
        .filter_map(|record| number(&record.item.attributes, What::LogRecord));
    let points = sink.metrics().into_iter().flat_map(|metric| {
        let attributes: Vec<Vec<KeyValue>> = match metric.item.data {
            Some(Data::Sum(sum)) => sum.data_points.into_iter().map(|p| p.attributes).collect(),
            Some(Data::Gauge(gauge)) => {
                gauge.data_points.into_iter().map(|p| p.attributes).collect()
            }
            Some(Data::Histogram(histogram)) => {
                histogram.data_points.into_iter().map(|p| p.attributes).collect()
            }
            _ => Vec::new(),
        };
        attributes
            .into_iter()
            .filter_map(|attributes| number(&attributes, What::DataPoint))
            .collect::<Vec<_>>()
    });
    spans.chain(log_records).chain(points).collect()
}

fn number(attributes: &[KeyValue], what: What) -> Option<Item> {
    let attribute = attributes.iter().find(|attribute| attribute.key == NUMBER)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => Some((what, number.to_string())),
        _ => None,
    }
}

/// The processes that took part, without repetition.
pub(super) fn pids(invocations: &[Invocation]) -> BTreeSet<u32> {
    invocations.iter().filter_map(|invocation| invocation.pid).collect()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
