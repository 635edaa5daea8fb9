//! A stdout that takes parts, fails or is read slowly, and the lengths and forms of lines.

use crate::fake_lambda::direct::{left_behind, silent, spilled, to};
use crate::fake_lambda::lines::start;
use crate::fake_lambda::support::{
    Call, FIRST, Lambda, Stdout, Trouble, logged, post, report, request_of, runtime_done, shutdown,
    traces, until,
};
use lambda_otlp_extension::Count;
use std::io::ErrorKind;
use std::time::Duration;
use wire::compact::Context;
use wire::{Limits, SignalKind};

const BROKEN: Trouble = Trouble::Error(ErrorKind::BrokenPipe);

async fn troubled(troubles: &[Trouble]) -> (Lambda, Call) {
    let (lambda, next) = Lambda::waiting(&[]).await;
    lambda.stdout.trouble(troubles);
    (lambda, next)
}

async fn status_of(lambda: &Lambda, spans: u64) -> u16 {
    lambda.protobuf(SignalKind::Traces, &traces(spans)).await.status
}

/// The items of each line that is whole.
fn items(stdout: &Stdout) -> Vec<usize> {
    let text = stdout.text();
    let readings = text.lines().filter_map(|line| wire::read_line(line, &Limits::default()));
    let whole = readings.filter(|reading| !reading.decoded.is_empty() && reading.text.is_none());
    whole.map(|reading| reading.decoded.iter().map(wire::Request::items).sum()).collect()
}

/// Text that hardly compresses, or an id.
fn random(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[tokio::test]
async fn partial_and_interrupted_writes_are_continued() {
    let (lambda, _next) = troubled(&[
        Trouble::Part(10),
        Trouble::Error(ErrorKind::WouldBlock),
        Trouble::Error(ErrorKind::Interrupted),
        Trouble::Flush(ErrorKind::WouldBlock),
        Trouble::Flush(ErrorKind::Interrupted),
    ])
    .await;
    assert_eq!(status_of(&lambda, 2).await, 200);
    assert_eq!(items(&lambda.stdout), [2]);
}

#[tokio::test]
async fn a_broken_pipe_or_panic_refuses_one_request_and_its_line_is_ended() {
    for troubles in [
        &[BROKEN][..],
        &[Trouble::Part(20), BROKEN],
        &[Trouble::Part(20), Trouble::Panic(0)],
        &[Trouble::Panic(20)],
    ] {
        let (lambda, _next) = troubled(troubles).await;
        assert_eq!(status_of(&lambda, 9).await, 503);
        for spans in [1, 2] {
            assert_eq!(status_of(&lambda, spans).await, 200);
        }
        assert_eq!(items(&lambda.stdout), [1, 2]);
    }
}

#[tokio::test]
async fn lost_items_are_counted_and_logged() {
    for (troubles, is_lost) in [(&[BROKEN][..], true), (&[], false)] {
        let (messages, _log) = logged();
        let backend = silent().await;
        let (lambda, next) = left_behind(&backend, &[], &[3]).await;
        lambda.stdout.trouble(troubles);
        next.answer(200, shutdown("spindown"));
        let (ended, _, counts) = lambda.ended().await;
        ended.unwrap();
        assert_eq!(counts.get(Count::SpillLost) > 0, is_lost, "{counts}");
        let lost = "items are lost: neither the backend nor stdout accepted them";
        let is_reported = messages.lock().unwrap().iter().any(|message| message.contains(lost));
        assert_eq!(is_reported, is_lost, "{messages:?}");
    }
}

#[tokio::test]
async fn a_slowly_read_pipe_refuses_no_request() {
    const LINES: usize = 8;
    /// A third of the time after which a write counts as stuck.
    const SLOW: Duration = Duration::from_millis(66);
    let (lambda, _next) = Lambda::waiting(&[]).await;
    lambda.stdout.fill(true);
    let authority = lambda.receiver.to_string();
    let path = SignalKind::Traces.path();
    let posts: Vec<_> = (0..LINES)
        .map(|_| {
            let authority = authority.clone();
            tokio::spawn(async move {
                let headers = [("content-type", "application/x-protobuf")];
                // So many spans share no line with others.
                post(&authority, path, &headers, &traces(1000)).await.unwrap().status
            })
        })
        .collect();
    until(|| lambda.stdout.waiting() == 1).await;
    tokio::time::pause();
    for line in 1..=LINES {
        until(|| lambda.stdout.waiting() == 1).await;
        tokio::time::sleep(SLOW).await;
        lambda.stdout.take_one();
        until(|| lambda.stdout.writes() == line).await;
    }
    tokio::time::resume();
    for status in posts {
        assert_eq!(status.await.unwrap(), 200);
    }
    assert_eq!(items(&lambda.stdout), [1000; LINES]);
}

/// More than the thread's queue holds waits for it, and so many more are lost.
#[tokio::test]
async fn own_spans_wait_for_a_blocked_stdout_and_are_written_again_after_it() {
    let kind = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    for (invocations, are_lost) in [(100, false), (400, true)] {
        let (lambda, next) = Lambda::waiting(&[kind]).await;
        let invoke = async |id: &str| {
            assert_eq!(lambda.telemetry(&[start(id), report(id, "success")]).await, 200);
        };
        lambda.stdout.fill(true);
        for number in 0..invocations {
            invoke(&format!("request-{number}")).await;
        }
        assert_eq!(status_of(&lambda, 1).await, 503);
        lambda.stdout.fill(false);
        let mut later = 0;
        while !format!("{:?}", lambda.stdout.spans()).contains("later") {
            assert!(later < 100);
            invoke(&format!("later-{later}")).await;
            later += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (stdout, counts) = lambda.end(next).await;
        assert_eq!(counts.get(Count::PlatformLost) > 0, are_lost, "{counts}");
        assert_eq!(stdout.items(SignalKind::Traces) < invocations + later, are_lost);
    }
}

#[tokio::test]
async fn no_line_is_longer_than_the_variable_allows() {
    let spans = (1..=400).flat_map(|number| {
        request_of(|span| {
            span.bytes(1, &[3; 16]);
            span.bytes(2, &random(number).to_be_bytes());
            span.fixed64(7, 1);
            span.fixed64(8, 2);
        })
    });
    let spans: Vec<u8> = spans.collect();
    for format in ["standard", "compact"] {
        let variables = [("LAMBDA_OTLP_MAX_LINE_BYTES", "1024"), ("LAMBDA_OTLP_LINE", format)];
        let (lambda, _next) = Lambda::waiting(&variables).await;
        assert_eq!(lambda.protobuf(SignalKind::Traces, &spans).await.status, 200);
        let text = lambda.stdout.text();
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= 1024), "{text}");
    }
}

/// A subscription selects spilled lines by a filter for JSON, which matches no piece of a line that Lambda splits.
#[tokio::test]
async fn a_spilled_line_arrives_as_one_log_event() {
    const MAX_BYTES: usize = 64 * 1024;
    let numbers: Vec<String> = (1..=20_000).map(|number| format!("{:x}", random(number))).collect();
    let text = numbers.concat();
    let record = |text: &str| request_of(|record| record.message(5, |body| body.string(1, text)));
    let large = record(&text);
    let many: Vec<u8> = text.as_bytes()[..16 * 16_000]
        .chunks(16_000)
        .flat_map(|chunk| record(str::from_utf8(chunk).unwrap()))
        .collect();
    let longest = |stdout: &Stdout| stdout.text().lines().map(str::len).max().unwrap_or_default();
    let variable = ("LAMBDA_OTLP_MAX_LINE_BYTES", "250KiB");
    let (lambda, _next) = Lambda::waiting(&[variable]).await;
    assert_eq!(lambda.protobuf(SignalKind::Logs, &large).await.status, 200);
    assert!(longest(&lambda.stdout) > MAX_BYTES);
    let backend = silent().await;
    let (lambda, next) = left_behind(&backend, &[variable], &[]).await;
    for request in [large, many] {
        assert_eq!(lambda.protobuf(SignalKind::Logs, &request).await.status, 200);
    }
    let (stdout, counts) = lambda.end(next).await;
    assert!((1..MAX_BYTES).contains(&longest(&stdout)));
    assert_eq!(counts.get(Count::Truncated), 1);
}

#[tokio::test]
async fn own_requests_share_a_compact_line_and_spills_stay_standard() {
    let variables = [("LAMBDA_OTLP_LINE", "compact"), ("AWS_REGION", "eu-west-1")];
    let mut lambda = Lambda::invoked(&variables).await;
    lambda.telemetry(&[start(FIRST), runtime_done(FIRST)]).await;
    let _next = lambda.next().await;
    let text = lambda.stdout.text();
    let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(line.starts_with(r#"{"_otelc":""#), "{line}");
    // Lines leave out the account, which the reader knows.
    for (account, requests) in [("123456789012", 2), ("000000000000", 0)] {
        let delivery = Context { function: "orders", account, log_stream: "any", region: "" };
        let reading = wire::read_line_of(line, &delivery, &Limits::default()).unwrap();
        assert_eq!(reading.decoded.len(), requests);
    }
    // A subscription filter selects spilled lines by their key.
    let backend = silent().await;
    let compact = to(&backend, &[("LAMBDA_OTLP_LINE", "compact")]);
    let (lambda, next) = Lambda::without_telemetry(&compact).await;
    assert_eq!(status_of(&lambda, 3).await, 200);
    let (stdout, _) = lambda.end(next).await;
    assert_eq!(spilled(&stdout), 3);
}
