//! Exporter, extension and forwarder together, as processes: each item is in the backend exactly once.

use lambda_otlp_tests::{binary, layer};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use simulator::sink::{Sink, StoredMetric};
use simulator::{FunctionSpec, Lambda, free_port};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
const AMPLE: Duration = Duration::from_mins(1);

/// The numbers of the items of this kind that the function says it ended.
fn made(ledger: &Path, what: &str) -> BTreeMap<i64, usize> {
    let text = std::fs::read_to_string(ledger).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = lines.filter(|line| line["what"] == what && line["event"] == "ended");
    count(ended.map(|line| line["number"].as_i64().unwrap()))
}

fn count<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = serde_json::to_value(&found.value).unwrap();
    Some(value.as_object().unwrap().values().next().unwrap().clone())
}

fn number(attributes: &[KeyValue]) -> Option<i64> {
    attribute(attributes, "demo.number").map(|value| text(&value).parse().unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How many points of this metric there are: for a histogram its counts, for a sum its values.
fn points(metrics: &[StoredMetric], name: &str) -> f64 {
    let of_name = metrics.iter().filter(|metric| metric.item.name == name);
    let data = of_name.map(|metric| serde_json::to_value(&metric.item).unwrap());
    let points = data.flat_map(|metric| {
        let kind = ["sum", "histogram", "gauge"].into_iter().find(|kind| metric[kind].is_object());
        metric[kind.unwrap()]["dataPoints"].as_array().unwrap().clone()
    });
    let number = |value: &Value| text(value).parse::<f64>().ok();
    points.map(|point| number(&point["count"]).or(number(&point["asInt"])).unwrap_or(1.0)).sum()
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// The items in it.
    Otlp,
    /// A log record with the figures.
    Report,
    /// Nothing.
    Consumed,
    /// A log record.
    Ordinary,
}

fn line(message: &str) -> Line {
    // Message and note of a panic are in the record of its first line.
    const CONSUMED: [&str; 5] = [
        "START ",
        "END ",
        "INIT_START ",
        "the card reader is on fire",
        "note: run with `RUST_BACKTRACE=",
    ];
    if message.starts_with(r#"{"__otel_otlp_stdout""#) {
        Line::Otlp
    } else if message.starts_with("REPORT ") {
        Line::Report
    } else if message.trim().is_empty()
        || CONSUMED.iter().any(|beginning| message.starts_with(beginning))
    {
        Line::Consumed
    } else {
        Line::Ordinary
    }
}

/// The function's log records by number, and records of lines by the id of their log event: the backend's content
/// against the notes of the function and the simulator.
fn each_log_record_is_there_once(sink: &Sink, lambda: &Lambda, ledger: &Path) {
    let records = sink.log_records();
    let (of_lines, own): (Vec<_>, Vec<_>) = records
        .iter()
        .map(|record| &record.item.attributes)
        .partition(|attributes| attribute(attributes, "log.record.uid").is_some());
    assert_eq!(
        count(own.iter().map(|attributes| number(attributes))),
        count(made(ledger, "log").into_keys().map(Some)),
        "the function's log records"
    );
    let uids = of_lines.iter().filter_map(|attributes| attribute(attributes, "log.record.uid"));
    let events = lambda.log_events("orders");
    let of_kind = |kind: Line| events.iter().filter(move |event| line(&event.message) == kind);
    assert!(of_kind(Line::Ordinary).count() > 0 && of_kind(Line::Otlp).count() > 0);
    assert_eq!(of_kind(Line::Report).count(), 5);
    let reports_and_lines = of_kind(Line::Report).chain(of_kind(Line::Ordinary));
    assert_eq!(
        count(uids.map(|uid| text(&uid))),
        count(reports_and_lines.map(|event| event.id.clone())),
        "the log records of lines"
    );
}

struct Surroundings {
    sink: Sink,
    lambda: Lambda,
    ledger: PathBuf,
    _directory: TempDir,
}

async fn surroundings(program: PathBuf) -> Surroundings {
    let sink = Sink::builder().no_window().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let layer = layer(directory.path().join("layer"));

    let lambda = Lambda::start().await.unwrap();
    let forwarder = FunctionSpec::new("forwarder", binary("lambda-otlp-forwarder"))
        .timeout(AMPLE)
        .env("LAMBDA_OTLP_ENDPOINT", sink.base());
    lambda.create_function(forwarder).unwrap();
    let orders = FunctionSpec::new("orders", program)
        .timeout(AMPLE)
        .layer(layer)
        .env("OTEL_LAMBDA_RECEIVER_PORT", free_port().to_string())
        .env("DEMO_LEDGER", ledger.to_str().unwrap());
    lambda.create_function(orders).unwrap();
    lambda.subscribe("/aws/lambda/orders", "forwarder", "").unwrap();
    Surroundings { sink, lambda, ledger, _directory: directory }
}

#[tokio::test]
async fn each_item_reaches_the_backend_once() {
    let Surroundings { sink, lambda, ledger, _directory } =
        surroundings(binary("demo-function")).await;
    let mut request_ids = Vec::new();
    for action in ["ok", "ok", "error", "panic", "ok"] {
        let payload = json!({"action": action, "children": 2, "logs": 1}).to_string();
        request_ids.push(lambda.invoke("orders", payload).await.unwrap().request_id);
    }
    lambda.recycle("orders").await.unwrap();
    lambda.flush_subscriptions().await;
    lambda.wait_for_async_invocations().await;

    let spans = sink.spans();
    let (platform, own): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span.scope.name == PLATFORM_SCOPE);
    let numbered = own.iter().filter_map(|span| number(&span.item.attributes));
    assert_eq!(count(numbered), made(&ledger, "span"), "the function's spans");
    let invocations = platform
        .iter()
        .filter_map(|span| Some(text(&attribute(&span.item.attributes, "faas.invocation_id")?)));
    assert_eq!(count(invocations), count(request_ids.into_iter()), "the platform's spans");
    each_log_record_is_there_once(&sink, &lambda, &ledger);

    // One SERVER span an invocation, the function's own; the platform's is its child.
    let server = spans.iter().filter(|span| span.item.kind == SpanKind::Server as i32);
    let roots: BTreeMap<_, _> =
        server.clone().map(|span| (span.item.span_id.clone(), &span.scope.name)).collect();
    assert_eq!((server.count(), roots.len()), (5, 5), "{roots:?}");
    assert!(roots.values().all(|scope| *scope != PLATFORM_SCOPE), "{roots:?}");
    for span in &platform {
        assert!(roots.contains_key(&span.item.parent_span_id), "{:?}", span.item);
    }

    let metrics = sink.metrics();
    for name in [
        // The forwarder's, of REPORT lines.
        "aws.lambda.invocations",
        "faas.invoke_duration",
        "aws.lambda.billed_duration",
        // The extension's own items, beside those of lines.
        "aws.lambda.response_latency",
        "aws.lambda.response_duration",
        "aws.lambda.runtime_overhead",
        "aws.lambda.extension_overhead",
    ] {
        assert!((points(&metrics, name) - 5.0).abs() < 0.1, "{name}: {}", points(&metrics, name));
    }
    assert!((points(&metrics, "faas.coldstarts") - 1.0).abs() < 0.1);
    assert_eq!(format!("{:?}", sink.oddities()), "[]");
    lambda.shut_down().await;
}

/// A shell script has no SDK: the layer alone makes spans and metrics, and printed lines become log records.
#[tokio::test]
async fn a_custom_runtime_without_an_sdk_has_all_signals() {
    let bootstrap = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/custom-runtime/bootstrap");
    let Surroundings { sink, lambda, _directory, .. } = surroundings(bootstrap).await;
    let mut request_ids = Vec::new();
    for order in ["a book", "a sold out book"] {
        request_ids
            .push(lambda.invoke("orders", json!(order).to_string()).await.unwrap().request_id);
    }
    lambda.recycle("orders").await.unwrap();
    lambda.flush_subscriptions().await;
    lambda.wait_for_async_invocations().await;

    let spans = sink.spans();
    let served = spans.iter().filter(|span| span.item.kind == SpanKind::Server as i32);
    let served = served.map(|span| {
        assert_eq!(span.item.name, "orders");
        let has_failed = span.item.status.as_ref().is_some_and(|status| status.code == 2);
        (text(&attribute(&span.item.attributes, "faas.invocation_id").unwrap()), has_failed)
    });
    let expected = request_ids.iter().cloned().zip([false, true]);
    assert_eq!(served.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, _>>());

    let metrics = sink.metrics();
    for (name, expected) in [
        ("aws.lambda.invocations", 2.0),
        ("faas.invoke_duration", 2.0),
        ("aws.lambda.response_latency", 2.0),
        ("faas.coldstarts", 1.0),
    ] {
        assert!(
            (points(&metrics, name) - expected).abs() < 0.1,
            "{name}: {}",
            points(&metrics, name)
        );
    }
    let records = sink.log_records();
    for (body, request_id) in
        ["a parcel is packed", "no parcel is left"].into_iter().zip(&request_ids)
    {
        let is_it = |own: &serde_json::Value| own["body"]["stringValue"] == body;
        let record =
            records.iter().filter(|record| is_it(&serde_json::to_value(&record.item).unwrap()));
        let ids = record
            .map(|record| text(&attribute(&record.item.attributes, "faas.invocation_id").unwrap()));
        assert_eq!(ids.collect::<Vec<_>>(), [request_id.as_str()], "{body}: {records:?}");
    }
    lambda.shut_down().await;
}
