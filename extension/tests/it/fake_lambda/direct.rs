//! Direct mode with a scripted Lambda: flushes, holds of `next`, and spilled lines.

use crate::fake_lambda::lines::{line, spilled_bodies, start};
use crate::fake_lambda::support::{
    self, Call, FIRST, Lambda, MINUTE, Stdout, invoke, now_ms, read, request_of, runtime_done,
    shutdown, shutdown_within, traces, until,
};
use lambda_otlp_extension::{Count, Counts};
use std::sync::Arc;
use std::time::Duration;
use test_support::openobserve::{FakeOpenObserve, Faults, ScriptedResponse, Signal};
use test_support::selects;
use wire::SignalKind;

/// The extension calls `next` at once, also after the first invocations.
pub(crate) const NO_HOLD: (&str, &str) = ("OTEL_LAMBDA_FLUSH_TIMEOUT", "0");
/// A flush may take longer than a test.
const LONG_HOLD: (&str, &str) = ("OTEL_LAMBDA_FLUSH_TIMEOUT", "20s");
const SECOND: &str = "4da1f2dc-3222-475e-9205-e2e6c6318896";

pub(crate) async fn started_backend() -> FakeOpenObserve {
    FakeOpenObserve::builder().no_window().start().await.unwrap()
}

/// A backend that always answers like this.
pub(crate) async fn always(answer: ScriptedResponse) -> FakeOpenObserve {
    let backend = started_backend().await;
    backend.inject(Faults::seeded(1, 1.0).among([answer]));
    backend
}

pub(crate) async fn silent() -> FakeOpenObserve {
    always(ScriptedResponse::held()).await
}

async fn slow(delay: Duration) -> FakeOpenObserve {
    always(ScriptedResponse::Delayed(delay, Box::new(ScriptedResponse::Ok))).await
}

/// Variables of an extension that sends to the backend.
pub(crate) fn to<'v>(
    backend: &'v FakeOpenObserve,
    more: &[(&'v str, &'v str)],
) -> Vec<(&'v str, &'v str)> {
    [&[("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", backend.base())], more].concat()
}

/// Runs an extension with three spans in one invocation. Returns its output and counters.
pub(crate) async fn three_spans(variables: &[(&str, &str)]) -> (Stdout, Arc<Counts>) {
    let lambda = Lambda::invoked(variables).await;
    post(&lambda, 3).await;
    lambda.done_and_ended().await
}

async fn post(lambda: &Lambda, spans: u64) {
    assert_eq!(lambda.protobuf(SignalKind::Traces, &traces(spans)).await.status, 200);
}

/// Runs an extension without a report of the handler's end, and acknowledges posts of these numbers of spans.
pub(crate) async fn left_behind(
    backend: &FakeOpenObserve,
    more: &[(&str, &str)],
    posts: &[u64],
) -> (Lambda, Call) {
    let (lambda, next) = Lambda::without_telemetry(&to(backend, more)).await;
    for spans in posts {
        post(&lambda, *spans).await;
    }
    (lambda, next)
}

/// Returns how many posted spans the backend has. The extension's own spans have another parent.
pub(crate) fn delivered(backend: &FakeOpenObserve) -> usize {
    backend.spans().iter().filter(|span| span.item.parent_span_id == [9; 8]).count()
}

/// How many of the extension's own figures the backend has: a metric of one point each where nothing was refused or lost.
fn own_figures(backend: &FakeOpenObserve) -> u64 {
    backend.metrics().len() as u64
}

/// Returns the number of spans in spilled lines.
pub(crate) fn spilled(stdout: &Stdout) -> usize {
    let text = stdout.text();
    let requests = text.lines().filter(|line| line.contains("\"spill\":true")).map(read);
    let traces = requests.filter(|request| request.kind() == SignalKind::Traces);
    traces.map(|request| request.items()).sum()
}

#[tokio::test]
async fn next_is_not_called_during_a_flush() {
    let backend = started_backend().await;
    backend.script([ScriptedResponse::held()]);
    let mut lambda = Lambda::invoked(&to(&backend, &[LONG_HOLD])).await;
    post(&lambda, 3).await;
    assert_eq!(backend.requests().len(), 0, "it is sent when the handler has ended");
    lambda.telemetry(&[runtime_done(FIRST)]).await;
    until(|| backend.requests().len() >= 2).await;
    for _ in 0..20 {
        post(&lambda, 1).await;
        assert!(lambda.no_call(), "next is called while a request is under way");
    }
    backend.release();
    let next = lambda.next().await;
    assert_eq!(delivered(&backend), 23);
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!((stdout.text().as_str(), counts.get(Count::Spilled)), ("", 0));
}

#[tokio::test]
async fn a_flush_timeout_aborts_its_requests() {
    let backend = silent().await;
    let mut lambda =
        Lambda::invoked(&to(&backend, &[("OTEL_LAMBDA_FLUSH_TIMEOUT", "500ms")])).await;
    post(&lambda, 3).await;
    let next = lambda.done().await;
    // The server has seen the end of both connections.
    backend.release();
    backend.heal();
    until(|| {
        let requests = backend.requests();
        !requests.is_empty() && requests.iter().all(|request| !request.answered_whole)
    })
    .await;
    let (stdout, _) = lambda.end(next).await;
    assert_eq!(spilled(&stdout), 0);
    assert!(delivered(&backend) >= 3);
}

#[tokio::test]
async fn three_signals_are_sent_concurrently() {
    let backend = silent().await;
    let lambda = Lambda::invoked(&to(&backend, &[LONG_HOLD])).await;
    post(&lambda, 2).await;
    let record = request_of(|record| record.fixed64(1, 1));
    assert_eq!(lambda.protobuf(SignalKind::Logs, &record).await.status, 200);
    lambda.telemetry(&[runtime_done(FIRST)]).await;
    // The metrics are the extension's own.
    until(|| backend.requests().len() == 3).await;
    backend.heal();
    backend.release();
    lambda.shut_down().await;
    assert_eq!((delivered(&backend), backend.log_records().len()), (2, 1));
    assert!(!backend.metrics().is_empty());
}

#[tokio::test]
async fn buffered_spans_and_lines_are_spilled_before_the_deadline() {
    // A good one would be sent it.
    let backend = silent().await;
    let mut lambda = Lambda::start(&to(&backend, &[("O2_FLUSH_INTERVAL_MS", "60000")])).await;
    lambda.next().await.answer(200, invoke(FIRST, Duration::from_millis(600)));
    post(&lambda, 3).await;
    lambda.telemetry(&[start(FIRST), line("the last one\n")]).await;
    // No event reports the end.
    let next = lambda.next().await;
    until(|| spilled(&lambda.stdout) == 3).await;
    until(|| spilled_bodies(&lambda.stdout) == ["the last one"]).await;
    next.answer(200, shutdown("timeout"));
    let (stdout, _) = lambda.finished().await;
    // And the invocation's own span.
    assert_eq!((spilled(&stdout), delivered(&backend)), (3 + 1, 0));
}

#[tokio::test]
async fn a_short_shutdown_still_spills_the_buffer() {
    // The report of the invocation never comes.
    for left in [Duration::from_millis(400), Duration::ZERO] {
        let backend = silent().await;
        let mut lambda = Lambda::invoked(&to(&backend, &[NO_HOLD])).await;
        post(&lambda, 3).await;
        lambda.done().await.answer(200, shutdown_within("spindown", left));
        let (ended, stdout, _) = lambda.ended().await;
        ended.unwrap();
        // The invocation's own span is the fourth.
        assert_eq!((delivered(&backend), spilled(&stdout)), (0, 3 + 1), "{left:?}");
    }
}

#[tokio::test]
async fn the_buffer_is_sent_at_shutdown_or_else_spilled() {
    let backend = always(ScriptedResponse::Ok).await;
    let (lambda, next) = left_behind(&backend, &[], &[3]).await;
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!((delivered(&backend), stdout.text().as_str()), (3, ""));
    assert_eq!(counts.get(Count::Delivered), 3 + own_figures(&backend));

    // A failure ends the attempts, also where the backend refuses one signal for ever.
    for answer in
        [ScriptedResponse::Status(503), ScriptedResponse::Status(415), ScriptedResponse::held()]
    {
        let backend = always(answer).await;
        let (lambda, next) = left_behind(&backend, &[], &[3]).await;
        let (stdout, counts) = lambda.end(next).await;
        assert_eq!((delivered(&backend), spilled(&stdout)), (0, 3));
        let own = stdout.items(SignalKind::Metrics) as u64;
        assert_eq!(counts.get(Count::Spilled), 3 + own);
        assert!(backend.requests().len() <= 2, "{:?}", backend.requests());
        assert_eq!(counts.get(Count::FailedFlushes), 1);
        is_selected_as_spilled(&stdout);
    }
}

#[tokio::test]
async fn spans_are_spilled_after_the_last_attempt_or_a_refusal() {
    for (status, retries) in [(503, "0"), (400, "3")] {
        let backend = always(ScriptedResponse::Status(status)).await;
        let variables = to(&backend, &[("O2_MAX_RETRIES", retries)]);
        let mut lambda = Lambda::invoked(&variables).await;
        post(&lambda, 3).await;
        let next = lambda.done().await;
        // The invocation's own span is the fourth.
        assert_eq!(spilled(&lambda.stdout), 3 + 1, "{status}");
        lambda.end(next).await;
    }
}

#[tokio::test]
async fn a_span_that_crashes_the_backend_is_spilled_alone() {
    let backend = started_backend().await;
    // The id of the seventh span.
    backend.crash_on(&[0x12, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
    let mut lambda = Lambda::invoked(&to(&backend, &[LONG_HOLD])).await;
    post(&lambda, 20).await;
    let next = lambda.done().await;
    assert_eq!((spilled(&lambda.stdout), delivered(&backend)), (1, 19));
    lambda.end(next).await;
}

#[tokio::test]
async fn a_refused_signal_is_no_failure_of_a_backend_that_accepts_another() {
    let backend = started_backend().await;
    backend.script_for(Signal::Traces, vec![ScriptedResponse::Status(415); 9]);
    let (lambda, next) = left_behind(&backend, &[], &[3]).await;
    let record = request_of(|record| record.fixed64(1, 1));
    assert_eq!(lambda.protobuf(SignalKind::Logs, &record).await.status, 200);
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!((spilled(&stdout), backend.log_records().len()), (3, 1));
    assert_eq!(counts.get(Count::FailedFlushes), 0);
}

/// A request that comes while the process ends is not acknowledged, since nothing would spill it.
#[tokio::test]
async fn nothing_is_acknowledged_after_the_last_spill() {
    let backend = started_backend().await;
    let (lambda, next) = left_behind(&backend, &[], &[3]).await;
    let receiver = lambda.receiver.to_string();
    lambda.end(next).await;
    let headers = [("content-type", "application/x-protobuf")];
    let posted = support::post(&receiver, "/v1/traces", &headers, &traces(3)).await;
    assert_eq!(posted.unwrap().status, 503);
}

/// Each line matches the filter pattern of `Collect=spilled`, by nothing but its key.
fn is_selected_as_spilled(stdout: &Stdout) {
    let is_selected = |line: &str| selects("{ $.spill IS TRUE }", line);
    assert!(stdout.text().lines().all(is_selected));
    let plain = stdout.text().replace(",\"spill\":true", "");
    assert!(!plain.lines().any(is_selected));
}

#[tokio::test]
async fn shutdown_completes_a_line_already_started() {
    let backend = silent().await;
    let (lambda, next) = left_behind(&backend, &[], &[3]).await;
    lambda.stdout.fill(true);
    next.answer(200, shutdown("spindown"));
    until(|| lambda.counts.get(Count::SpillLost) > 0).await;
    // The account is closed, and the line is under way all the same.
    assert_eq!(lambda.stdout.waiting(), 1);
    lambda.stdout.fill(false);
    let (ended, stdout, counts) = lambda.ended().await;
    ended.unwrap();
    assert_eq!(stdout.lines(), [(SignalKind::Traces, 3)], "and no other was begun");
    assert!(counts.get(Count::SpillLost) > 3, "{counts}");
}

#[tokio::test]
async fn a_blocked_stdout_holds_no_invocation_until_its_deadline() {
    let backend = always(ScriptedResponse::Status(503)).await;
    let mut lambda = Lambda::start(&to(&backend, &[("O2_MAX_RETRIES", "0")])).await;
    lambda.stdout.fill(true);
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    post(&lambda, 40_000).await;
    // More than a mebibyte waits for stdout.
    lambda.done().await.answer(200, invoke(SECOND, MINUTE));
    post(&lambda, 1).await;
    lambda.telemetry(&[runtime_done(SECOND)]).await;
    let next = lambda.next().await;
    lambda.stdout.fill(false);
    let (stdout, _) = lambda.end(next).await;
    assert_eq!(spilled(&stdout), 40_001 + 2, "with the invocations' spans");
}

#[tokio::test]
async fn buffered_spans_are_spilled_if_next_fails() {
    let backend = started_backend().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[NO_HOLD])).await;
    let next = lambda.next().await;
    post(&lambda, 3).await;
    lambda.telemetry(&[start(FIRST), line("printed\n")]).await;
    next.answer(403, "");
    let (ended, stdout, _) = lambda.ended().await;
    ended.unwrap_err();
    assert_eq!((delivered(&backend), spilled(&stdout)), (0, 3));
    assert_eq!(spilled_bodies(&stdout), ["printed"]);
}

#[tokio::test]
async fn continuous_posts_do_not_prolong_the_invocation() {
    let backend = slow(Duration::from_millis(50)).await;
    let mut lambda =
        Lambda::invoked(&to(&backend, &[("OTEL_LAMBDA_FLUSH_TIMEOUT", "400ms")])).await;
    post(&lambda, 1).await;
    lambda.telemetry(&[runtime_done(FIRST)]).await;
    let next = lambda.next_after(async |lambda| post(lambda, 1).await).await;
    assert!(delivered(&backend) > 0);
    lambda.end(next).await;
}

#[tokio::test]
async fn spans_rejected_at_shutdown_are_spilled_and_not_resent() {
    let backend = started_backend().await;
    // The posted span and the extension's own are refused together, then one of them alone.
    let mut answers = vec![ScriptedResponse::Status(400); 100];
    answers[2] = ScriptedResponse::Ok;
    backend.script_for(Signal::Traces, answers);
    let (lambda, next) = left_behind(&backend, &[], &[1]).await;
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!((spilled(&stdout), counts.get(Count::Panics)), (1, 0));
    assert!(backend.requests().len() < 6, "{}", backend.requests().len());
}

#[tokio::test]
async fn spans_accepted_during_shutdown_are_not_spilled_too() {
    let backend = slow(Duration::from_secs(3)).await;
    // The last requests have up to 512 KiB.
    let (lambda, next) = left_behind(&backend, &[NO_HOLD], &[2500; 8]).await;
    next.answer(200, shutdown_within("spindown", Duration::from_secs(6)));
    let (stdout, counts) = lambda.finished().await;
    let delivered = delivered(&backend);
    let spilled = spilled(&stdout);
    assert!(delivered > 0 && spilled > 0, "{delivered} {spilled}");
    assert_eq!(delivered + spilled, 20_000, "{delivered} {spilled}");
    assert_eq!(counts.get(Count::Delivered), delivered as u64 + own_figures(&backend));
}

#[tokio::test]
async fn a_zero_flush_timeout_sends_only_during_handlers() {
    let backend = started_backend().await;
    let mut lambda =
        Lambda::invoked(&to(&backend, &[NO_HOLD, ("O2_FLUSH_INTERVAL_MS", "20")])).await;
    let next = lambda.done().await;
    post(&lambda, 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(backend.requests().len(), 0);
    next.answer(200, invoke(SECOND, MINUTE));
    until(|| delivered(&backend) == 3).await;
    lambda.telemetry(&[runtime_done(SECOND)]).await;
    lambda.shut_down().await;
}

/// OpenObserve would store a row without a value.
#[tokio::test]
async fn telemetry_is_adapted_only_for_openobserve() {
    for (kind, rejected) in [("openobserve", 1), ("otlp", 0)] {
        let backend = started_backend().await;
        let lambda = Lambda::invoked(&to(&backend, &[("LAMBDA_OTLP_BACKEND", kind)])).await;
        let infinite = request_of(|metric| {
            metric.string(1, "a");
            metric.message(5, |gauge| {
                gauge.message(1, |point| {
                    point.fixed64(3, now_ms() * 1_000_000);
                    point.always_double(4, f64::INFINITY);
                });
            });
        });
        assert_eq!(lambda.protobuf(SignalKind::Metrics, &infinite).await.status, 200);
        let (_, counts) = lambda.done_and_ended().await;
        assert_eq!(counts.get(Count::Rejected), rejected);
    }
}

#[tokio::test]
async fn a_signal_that_the_backend_lacks_is_not_sent_and_counted() {
    let backend = started_backend().await;
    let other = [("LAMBDA_OTLP_BACKEND", "otlp"), ("LAMBDA_OTLP_SIGNALS", "logs")];
    let (stdout, counts) = three_spans(&to(&backend, &other)).await;
    assert_eq!((backend.spans().len(), counts.get(Count::Rejected) >= 3), (0, true));
    assert!(spilled_bodies(&stdout).is_empty());
}

#[tokio::test]
async fn cloudwatch_is_no_backend_of_direct_mode() {
    let cloudwatch = [
        ("LAMBDA_OTLP_ENDPOINT", "https://xray.eu-west-1.amazonaws.com/"),
        ("LAMBDA_OTLP_BACKEND", "otlp"),
        ("LAMBDA_OTLP_SIGNALS", "traces"),
    ];
    // The spans are in stdout.
    let (stdout, counts) = three_spans(&cloudwatch).await;
    assert_eq!(counts.get(Count::Rejected), 0);
    assert!(stdout.text().contains("__otel_otlp_stdout"));
}
