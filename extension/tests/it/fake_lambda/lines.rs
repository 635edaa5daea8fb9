//! Printed lines in direct mode.

use crate::fake_lambda::direct::{NO_HOLD, delivered, silent, spilled, started_backend, to};
use crate::fake_lambda::support::{
    FIRST, Lambda, MINUTE, Stdout, TIME, read, report, request_of, runtime_done, shutdown,
    shutdown_within, traces, until,
};
use lambda_otlp_extension::{Count, Counts};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use test_support::Logged;
use test_support::openobserve::FakeOpenObserve;
use wire::compact::OwnedContext;
use wire::{Envelope, LineEncoder, LineLimits, Request, RootLine, SignalKind};

pub(crate) fn start(request_id: &str) -> Value {
    json!({"time": TIME, "type": "platform.start", "record": {"requestId": request_id, "version": "7"}})
}

pub(crate) fn line(record: impl Into<Value>) -> Value {
    json!({"time": TIME, "type": "function", "record": record.into()})
}

fn body(record: &LogRecord) -> String {
    match record.body.clone().unwrap().value.unwrap() {
        Any::StringValue(text) => text,
        other => format!("{other:?}"),
    }
}

fn bodies(backend: &FakeOpenObserve) -> Vec<String> {
    backend.log_records().iter().map(|record| body(&record.item)).collect()
}

/// Bodies of the log records in lines that say that no backend took them.
pub(crate) fn spilled_bodies(stdout: &Stdout) -> Vec<String> {
    let text = stdout.text();
    let lines = text.lines().filter(|line| line.contains("\"spill\":true")).map(read);
    let mut logged = Logged::default();
    logged.add(&lines.collect::<Vec<_>>());
    logged.records.iter().map(body).collect()
}

/// A root span of the invocation, as an SDK sends it.
pub(crate) fn root(request_id: &str) -> Vec<u8> {
    root_of(request_id, &[3; 16])
}

pub(crate) fn root_of(request_id: &str, trace_id: &[u8; 16]) -> Vec<u8> {
    request_of(|span| {
        span.bytes(1, trace_id);
        span.bytes(2, &[4; 8]);
        span.string(5, "handler");
        span.varint(6, 2);
        span.fixed64(7, 1);
        span.fixed64(8, 2);
        span.message(9, |attribute| {
            attribute.string(1, "faas.invocation_id");
            attribute.message(2, |any| any.string(1, request_id));
        });
    })
}

/// An OTLP line, as our exporter prints it.
pub(crate) fn otlp_line(request: Request) -> String {
    encoded(LineEncoder::new(6, LineLimits::default()), request)
}

/// A compact line, as our exporter prints it. Beside an extension it does not leave out the log stream.
fn compact_line(request: Request) -> String {
    let names = OwnedContext::of_function("orders", "eu-west-1", "/aws/lambda/orders", "");
    encoded(
        LineEncoder::compact(names.with_account("123456789012"), LineLimits::default()),
        request,
    )
}

fn encoded(mut encoder: LineEncoder, request: Request) -> String {
    let mut lines = Vec::new();
    let envelope = Envelope { source: "orders", ..Envelope::default() };
    assert_eq!(encoder.encode(&envelope, request, &mut lines).dropped_items, 0);
    String::from_utf8(lines).unwrap()
}

/// Runs an extension that gets these deliveries in its only invocation. Returns the backend, and the text and counts of the
/// extension.
async fn converted(
    more: &[(&str, &str)],
    deliveries: &[Vec<Value>],
) -> (FakeOpenObserve, String, Arc<Counts>) {
    let backend = started_backend().await;
    let lambda = Lambda::invoked(&to(&backend, more)).await;
    for events in deliveries {
        assert_eq!(lambda.telemetry(events).await, 200);
    }
    let (stdout, counts) = lambda.done_and_ended().await;
    let text = stdout.text();
    (backend, text, counts)
}

/// The types of events that include the output of other extensions.
const ALL_TYPES: (&str, &str) = ("O2_TELEMETRY_TYPES", "platform,function,extension");

#[tokio::test]
async fn lines_become_records_of_their_invocation() {
    let backend = started_backend().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[])).await;
    let lines = [
        start(FIRST),
        line("plain\n"),
        line("{\"level\":\"warn\",\"message\":\"low\",\"left\":3}\n"),
        line(json!({"level": "ERROR", "message": "gone", "requestId": FIRST})),
        line("\n"),
    ];
    assert_eq!(lambda.telemetry(&lines).await, 200);
    // The span comes after the lines, as it does where a handler ends.
    assert_eq!(lambda.protobuf(SignalKind::Traces, &root(FIRST)).await.status, 200);
    let next = lambda.done().await;
    assert_eq!(bodies(&backend), ["plain", "low", "gone"]);
    let records = backend.log_records();
    let severities: Vec<_> = records.iter().map(|of| of.item.severity_text.as_str()).collect();
    assert_eq!(severities, ["INFO", "WARN", "ERROR"]);
    for record in &records {
        assert_eq!(
            (record.item.trace_id.as_slice(), record.item.span_id.as_slice()),
            (&[3; 16][..], &[4; 8][..])
        );
        assert_eq!(record.item.time_unix_nano, 1_790_000_000_123_000_000);
        assert_eq!(record.service_name, "orders");
        assert!(record.item.attributes.iter().any(|of| of.key == "faas.invocation_id"));
    }
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!((stdout.text().as_str(), counts.get(Count::LogLines)), ("", 4));
}

#[tokio::test]
async fn without_an_sdk_lines_get_the_invocation_span_ids() {
    let backend = started_backend().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[])).await;
    lambda.telemetry(&[start(FIRST), line("plain\n")]).await;
    lambda.telemetry(&[runtime_done(FIRST), line("a straggler\n")]).await;
    let next = lambda.next().await;
    let spans = backend.spans();
    assert_eq!(spans.len(), 1);
    lambda.end(next).await;
    assert_eq!(bodies(&backend), ["plain", "a straggler"]);
    for record in backend.log_records() {
        assert_eq!(
            (&record.item.trace_id, &record.item.span_id),
            (&spans[0].item.trace_id, &spans[0].item.span_id)
        );
    }
}

#[tokio::test]
async fn printed_otlp_lines_are_decoded_and_sent() {
    let printed = otlp_line(Request::trusted(SignalKind::Traces, traces(5)));
    let broken = printed.replace("\"payload\":\"", "\"payload\":\"!");
    let root = otlp_line(Request::trusted(SignalKind::Traces, root(FIRST)));
    let name = "orders of 123456789012 in eu-west-1";
    let query = request_of(|span| {
        span.bytes(1, &[3; 16]);
        span.bytes(2, &[5; 8]);
        span.string(5, name);
    });
    let compact = compact_line(Request::trusted(SignalKind::Traces, query));
    let lines = [printed, compact, broken, root, "beside\n".to_owned()].map(line);
    let (backend, text, counts) = converted(&[], &[vec![start(FIRST)], lines.into()]).await;
    assert_eq!(delivered(&backend), 5);
    assert!(backend.spans().iter().any(|span| span.item.name == name));
    let bodies = bodies(&backend);
    let [undecodable, beside] = bodies.as_slice() else { panic!("{bodies:?}") };
    assert!(undecodable.starts_with("OTLP line was not decoded") && beside == "beside");
    // The root was printed: the extension writes no second one, and the lines have its ids.
    let servers = backend.spans().iter().filter(|span| span.item.kind == 2).count();
    assert_eq!(servers, 1);
    assert!(backend.log_records().iter().all(|record| record.item.span_id == [4; 8]));
    assert_eq!((text.as_str(), counts.get(Count::Undecodable)), ("", 1));
}

/// Lambda gives each invocation an X-Ray root, traced or not.
#[tokio::test]
async fn an_xray_root_in_a_line_is_its_trace_if_a_span_has_that_trace() {
    let managed = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    let rooted = |digit: char| {
        let digits = |number: usize| ["0", &digit.to_string()].concat().repeat(number);
        let root = format!("1-{}-{}", digits(4), digits(12));
        line(json!({"message": root, "xray_trace_id": root}))
    };
    for is_printed in [false, true] {
        let backend = started_backend().await;
        let (lambda, next) = Lambda::waiting(&to(&backend, &[managed])).await;
        assert_eq!(lambda.telemetry(&[rooted('3'), rooted('8')]).await, 200);
        if is_printed {
            let printed = otlp_line(Request::trusted(SignalKind::Traces, root(FIRST)));
            lambda.telemetry(&[line(printed)]).await;
        } else {
            lambda.protobuf(SignalKind::Traces, &root(FIRST)).await;
        }
        lambda.end(next).await;
        let records = backend.log_records();
        let ids: Vec<&[u8]> = records.iter().map(|of| of.item.trace_id.as_slice()).collect();
        assert_eq!(ids, [&[3; 16][..], &[]], "{is_printed}");
    }
}

#[tokio::test]
async fn a_root_line_gives_named_lines_their_trace_and_is_no_record() {
    let managed = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    let root_line = RootLine { request_id: FIRST, trace_id: [3; 16], span_id: [4; 8] };
    let root = line(root_line.write(None, 0).unwrap());
    let named = line(json!({"requestId": FIRST, "message": "named"}));
    let backend = started_backend().await;
    let (lambda, next) = Lambda::waiting(&to(&backend, &[managed])).await;
    let events = [line("printed before\n"), root, named, line("printed\n")];
    assert_eq!(lambda.telemetry(&events).await, 200);
    lambda.end(next).await;
    let records = backend.log_records();
    let ids: Vec<&[u8]> = records.iter().map(|of| of.item.trace_id.as_slice()).collect();
    assert_eq!(bodies(&backend), ["printed before\n", "named", "printed\n"].map(str::trim_end));
    assert_eq!(ids, [&[], &[3; 16][..], &[]]);
}

#[tokio::test]
async fn lines_of_the_extension_itself_are_not_sent() {
    let of_extension = |text: &str| json!({"time": TIME, "type": "extension", "record": text});
    let events = vec![
        of_extension("[WARN] lambda-otlp-extension: cannot deliver, will try again\n"),
        of_extension(r#"{"level":"WARN","logger":"lambda-otlp-extension","message":"x"}"#),
        of_extension(&otlp_line(Request::trusted(SignalKind::Traces, traces(1)))),
        of_extension("another extension is ready\n"),
    ];
    let (backend, _, counts) = converted(&[ALL_TYPES], &[events]).await;
    assert_eq!(
        (bodies(&backend).as_slice(), delivered(&backend)),
        (&["another extension is ready".to_owned()][..], 0)
    );
    assert_eq!(counts.get(Count::LogLines), 1);
}

#[tokio::test]
async fn a_repeated_telemetry_delivery_is_processed_once() {
    let (backend, _, counts) = converted(&[], &vec![vec![start(FIRST), line("once\n")]; 3]).await;
    assert_eq!((bodies(&backend), counts.get(Count::LogLines)), (vec!["once".to_owned()], 1));
}

#[tokio::test]
async fn lines_of_a_long_handler_are_sent_before_its_end() {
    let backend = started_backend().await;
    let lambda = Lambda::invoked(&to(&backend, &[("O2_FLUSH_INTERVAL_MS", "20")])).await;
    lambda.telemetry(&[start(FIRST), line("early\n")]).await;
    until(|| bodies(&backend) == ["early"]).await;
}

#[tokio::test]
async fn only_the_functions_runtime_reports_exhausted_memory() {
    for (of, text, expected) in [
        ("function", "[FATAL] failed to allocate memory\n", 1),
        ("function", "paid\n", 0),
        ("extension", "[FATAL] failed to allocate memory\n", 0),
    ] {
        let line = json!({"time": TIME, "type": of, "record": text});
        let (backend, ..) = converted(&[ALL_TYPES], &[vec![start(FIRST), line]]).await;
        let is_it = |name: &str| name == "aws.lambda.out_of_memory";
        let found = backend.metrics().iter().filter(|metric| is_it(&metric.item.name)).count();
        assert_eq!(found, expected, "{of} {text}");
    }
}

#[tokio::test]
async fn a_platform_report_becomes_a_log_record_and_metrics() {
    let backend = started_backend().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[])).await;
    lambda.telemetry(&[start(FIRST), runtime_done(FIRST)]).await;
    let next = lambda.next().await;
    lambda.telemetry(&[report(FIRST, "timeout")]).await;
    lambda.end(next).await;
    let records = backend.log_records();
    assert_eq!(records.len(), 1, "{:?}", bodies(&backend));
    assert_eq!(
        (records[0].item.event_name.as_str(), records[0].item.severity_text.as_str()),
        ("platform.report", "ERROR")
    );
    let metrics: Vec<String> =
        backend.metrics().into_iter().map(|metric| metric.item.name).collect();
    for name in
        ["faas.timeouts", "aws.lambda.invocations", "aws.lambda.billed_duration", "faas.mem_usage"]
    {
        assert!(metrics.iter().any(|metric| metric == name), "{name}: {metrics:?}");
    }
}

/// An extension that has 1.6 MB of printed lines and then OTLP when its environment ends, in this time.
async fn ended_with_much(backend: &FakeOpenObserve, left: Duration) -> Lambda {
    let mut lambda = Lambda::invoked(&to(backend, &[NO_HOLD])).await;
    let next = lambda.next().await;
    lambda.telemetry(&[start(FIRST)]).await;
    let padding = "x".repeat(1000);
    for delivery in 0..8 {
        let lines: Vec<Value> =
            (0..200).map(|at| line(format!("{delivery} {at} {padding}\n"))).collect();
        assert_eq!(lambda.telemetry(&lines).await, 200);
    }
    let received = request_of(|record| record.message(5, |body| body.string(1, "received")));
    for (kind, body) in [(SignalKind::Logs, received), (SignalKind::Traces, traces(3))] {
        assert_eq!(lambda.protobuf(kind, &body).await.status, 200);
    }
    next.answer(200, shutdown_within("spindown", left));
    lambda
}

#[tokio::test]
async fn posted_telemetry_is_flushed_before_printed_lines_at_shutdown() {
    let taking = started_backend().await;
    let (stdout, _) = ended_with_much(&taking, MINUTE).await.finished().await;
    assert_eq!((stdout.text().as_str(), taking.log_records().len()), ("", 1 + 8 * 200));
    let requests = taking.requests();
    let of_logs = requests.iter().position(|request| request.path.ends_with("/v1/logs")).unwrap();
    let first =
        requests.iter().take(of_logs).filter(|request| request.path.ends_with("/v1/traces"));
    assert_eq!(first.count(), 1);
    assert!(requests.iter().all(|request| request.body.len() <= 512 * 1024));

    let silent = silent().await;
    let (stdout, _) = ended_with_much(&silent, Duration::from_secs(4)).await.finished().await;
    assert_eq!((stdout.lines()[0].0, spilled(&stdout)), (SignalKind::Traces, 3 + 1));
    let bodies = spilled_bodies(&stdout);
    assert_eq!((bodies[0].as_str(), bodies.len()), ("received", 1 + 8 * 200));
}

#[tokio::test]
async fn lines_are_refused_and_not_lost_while_stdout_is_blocked() {
    let backend = silent().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[("O2_MAX_BUFFER_SIZE_MB", "1")])).await;
    lambda.telemetry(&[start(FIRST)]).await;
    lambda.stdout.fill(true);
    let padding = "x".repeat(1000);
    let lines: Vec<Value> = (0..200).map(|at| line(format!("{at} {padding}\n"))).collect();
    let mut taken = 0;
    loop {
        // Each delivery is another one.
        let mut lines = lines.clone();
        lines.push(line(format!("delivery {taken}\n")));
        if lambda.telemetry(&lines).await == 503 {
            break;
        }
        taken += 1;
        assert!(taken < 60, "all of 12 MB in memory");
    }
    assert!(lambda.counts.get(Count::TelemetryRefused) > 0);
    lambda.stdout.fill(false);
    lambda.telemetry(&[runtime_done(FIRST)]).await;
    let next = lambda
        .next_after(async |lambda| {
            lambda.telemetry(&[runtime_done(FIRST)]).await;
        })
        .await;
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!(spilled_bodies(&stdout).len(), taken * 201);
    assert_eq!(counts.get(Count::LogLines), taken as u64 * 201);
}

#[tokio::test]
async fn lines_printed_during_the_last_flush_are_spilled() {
    let backend = silent().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[NO_HOLD])).await;
    lambda.telemetry(&[start(FIRST), line("early\n"), runtime_done(FIRST)]).await;
    lambda.next().await.answer(200, shutdown("spindown"));
    until(|| !backend.requests().is_empty()).await;
    assert_eq!(lambda.telemetry(&[line("late\n")]).await, 200);
    let (stdout, _) = lambda.finished().await;
    assert_eq!(spilled_bodies(&stdout), ["early", "late"]);
}
