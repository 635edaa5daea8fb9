//! A managed instance: a function with the Rust library runs eight invocations at a time, with the layer and without.

use crate::fake_lambda::support::{self, Lambda, shutdown};
use lambda_otlp_tests::simulation::{INVOCATIONS, request_id};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use platform::{Converter, Identity, LogEventRef, LogSource, PlatformOptions, text_of_attribute};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use test_support::Logged;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use wire::Limits;

const RUNS: u64 = 500;
const MANAGED: (&str, &str) = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");

/// The time of all events. Their order is what matters.
const TIME_MS: i64 = 1_790_000_000_000;

fn platform_event(kind: &str, request_id: &str) -> Value {
    let mut record = json!({"requestId": request_id, "version": "7"});
    if kind == "report" {
        record["status"] = "success".into();
        record["metrics"] = json!({"durationMs": 2.5});
        record["spans"] = json!([{"name": "responseLatency", "durationMs": 2.0}]);
    }
    let time =
        if kind == "report" { "2026-09-21T14:13:20.003Z" } else { "2026-09-21T14:13:20.000Z" };
    json!({"time": time, "type": format!("platform.{kind}"), "record": record})
}

/// Runs the function. Passes what Lambda tells of its invocations to `deliver`, as much at a time as there is. Returns these
/// events and the function's stdout.
async fn run(runtime_api: &str, deliver: impl AsyncFn(&[Value])) -> (Vec<Value>, String) {
    let mut function = Command::new(std::env::current_exe().unwrap())
        .args(["the_concurrent_function", "--exact", "--nocapture"])
        .env_clear()
        .env(INVOCATIONS, RUNS.to_string())
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "orders")
        .env(MANAGED.0, MANAGED.1)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = function.stdout.take().unwrap();
    let printed = tokio::spawn(async move {
        let mut printed = String::new();
        stdout.read_to_string(&mut printed).await.unwrap();
        printed
    });
    let mut stderr = BufReader::new(function.stderr.take().unwrap());
    let mut events = Vec::new();
    let mut line = String::new();
    let mut delivery = Vec::new();
    while stderr.read_line(&mut line).await.unwrap() > 0 {
        if let Some((kind, request_id)) = line.trim_end().split_once(' ')
            && ["start", "report"].contains(&kind)
        {
            delivery.push(platform_event(kind, request_id));
        }
        line.clear();
        if stderr.buffer().is_empty() {
            deliver(&delivery).await;
            events.append(&mut delivery);
        }
    }
    deliver(&delivery).await;
    events.append(&mut delivery);
    assert!(function.wait().await.unwrap().success());
    (events, printed.await.unwrap())
}

fn attribute<'s>(span: &'s Span, key: &str) -> &'s str {
    text_of_attribute(&span.attributes, key).unwrap_or_default()
}

/// Checks the log of the function as the forwarder reads it.
fn check(events: &[Value], printed: &str, of_layer: Option<&str>) {
    let identity = Identity::of(&LogSource {
        account: "123456789012",
        region: None,
        log_group: "/aws/lambda/orders",
        log_stream: "2026/09/21/[1]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071",
    });
    let mut converter = Converter::new(identity, PlatformOptions::default(), 0);
    let of_kind = |kind: &str| {
        let kind = format!("platform.{kind}");
        events.iter().filter(move |event| event["type"] == kind.as_str()).map(Value::to_string)
    };
    let starts: Vec<String> = of_kind("start").collect();
    let reports: Vec<String> = of_kind("report").collect();
    let lines = starts
        .iter()
        .map(String::as_str)
        .chain(printed.lines())
        .chain(of_layer.unwrap_or_default().lines());
    let mut logged = Logged::default();
    for line in lines.chain(reports.iter().map(String::as_str)) {
        let Some(reading) = wire::read_line(line, &Limits::default()) else {
            converter.convert_log_event(&LogEventRef { id: "", time_ms: TIME_MS, message: line });
            continue;
        };
        assert!(reading.undecodable.is_empty() && reading.text.is_none(), "{line}");
        for request in &reading.decoded {
            request.each_trace_id(&mut |trace_id| converter.note_trace(trace_id));
            request.each_invocation_span(&mut |id, span| converter.note_invocation_span(id, &span));
        }
        logged.add(&reading.decoded);
    }
    let own_records = logged.records.len();
    let telemetry = converter.finish();
    logged.add(&telemetry.logs.into_iter().collect::<Vec<_>>());

    let spans: Vec<&Span> = logged.spans.iter().map(|(_, span)| span).collect();
    let servers: HashMap<&str, &Span> = spans
        .iter()
        .filter(|span| span.kind == 2)
        .map(|span| (attribute(span, "faas.invocation_id"), *span))
        .collect();
    assert_eq!(servers.len() as u64, RUNS);
    let all_servers = spans.iter().filter(|span| span.kind == 2).count();
    assert_eq!(all_servers as u64, RUNS, "one for each invocation");
    let others: Vec<&&Span> = spans.iter().filter(|span| span.kind != 2).collect();
    assert_eq!(others.len() as u64, if of_layer.is_some() { RUNS } else { 0 });
    for span in others {
        let server = servers[attribute(span, "faas.invocation_id")];
        assert_eq!(
            (&span.trace_id, &span.parent_span_id),
            (&server.trace_id, &server.span_id),
            "{span:?}"
        );
    }
    let traces: HashSet<&[u8]> = servers.values().map(|span| &*span.trace_id).collect();
    let of_library: HashSet<&[u8]> =
        logged.records.iter().take(own_records).map(|record| &*record.trace_id).collect();
    assert!(of_library == traces && own_records == traces.len(), "the library's log records");
    let mut on_trace: HashMap<&str, u64> = HashMap::new();
    for record in logged.records.iter().skip(own_records) {
        let id = text_of_attribute(&record.attributes, "faas.invocation_id");
        let Some(id) = id else { continue };
        assert_eq!(record.trace_id, servers[id].trace_id, "{record:?}");
        *on_trace.entry(id).or_default() += 1;
    }
    let ids: Vec<String> = (0..RUNS).map(request_id).collect();
    let wrong = ids.iter().find(|id| on_trace.get(id.as_str()) != Some(&2));
    assert_eq!((on_trace.len() as u64, wrong), (RUNS, None), "the printed line and the report");

    let metrics = telemetry.metrics.unwrap().scope_metrics.into_iter();
    let sum = |name: &str| {
        let mut metrics = metrics.clone().flat_map(|scope| scope.metrics);
        let metric = metrics.find(|metric| metric.name == name);
        let Some(Data::Sum(sum)) = metric.and_then(|metric| metric.data) else { return 0.0 };
        let value = |value: Option<Number>| match value {
            Some(Number::AsInt(value)) => f64::from(i32::try_from(value).unwrap()),
            Some(Number::AsDouble(value)) => value,
            None => 0.0,
        };
        sum.data_points.into_iter().map(|point| value(point.value)).sum()
    };
    assert_eq!(
        (sum("faas.invocations"), sum("faas.errors")),
        (f64::from(u32::try_from(RUNS).unwrap()), 0.0)
    );
}

#[tokio::test]
async fn five_hundred_invocations_eight_at_a_time_have_a_server_span_each() {
    let (events, printed) = run("127.0.0.1:1", async |_| ()).await;
    check(&events, &printed, None);
}

#[tokio::test]
async fn five_hundred_invocations_eight_at_a_time_have_a_server_span_each_with_the_layer() {
    let (lambda, next) = Lambda::waiting(&[MANAGED]).await;
    let deliver = async |events: &[Value]| assert_eq!(lambda.telemetry(events).await, 200);
    let (events, printed) = run(&lambda.runtime_api(), deliver).await;
    next.answer(200, shutdown("spindown"));
    let (stdout, counts) = lambda.finished().await;
    assert_eq!(support::counts(&counts), "");
    check(&events, &printed, Some(&stdout.text()));
}
