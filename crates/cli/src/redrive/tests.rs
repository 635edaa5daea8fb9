use super::dead_letter::DeadLetter;
use super::*;
use crate::aws;
use backend::Fate;
use clap::Parser;
use expect_test::{Expect, expect};
use forwarder::{Content, LogEventRange, MAX_MESSAGE_BYTES, Origin, QueuedTelemetry};
use local_lambda::queue::{Queue, QueueResponse, QueueServer};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::json;
use std::time::Duration;
use subscriber::FilteredLogEvent;
use wire::Request;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const NOW: u64 = 1_790_000_000 * SECOND;
const HOUR: u64 = 3600 * SECOND;

pub(super) fn log_request() -> Request {
    let record = LogRecord { time_unix_nano: NOW, ..LogRecord::default() };
    Request::of_log_records(None, vec![record; 2])
}

pub(super) fn queued(reason: &str, first_seen_unix_nano: u64) -> QueuedTelemetry {
    QueuedTelemetry {
        destination: "default".to_owned(),
        stream: None,
        content: Content::Request(log_request()),
        items: 2,
        oldest_unix_nano: Some(first_seen_unix_nano),
        newest_unix_nano: Some(first_seen_unix_nano),
        first_seen_unix_nano,
        reason: reason.to_owned(),
        fate: Fate::Park,
        is_in_log_group: false,
        log_events: LogEventRange {
            origin: Origin::new("", "", "/aws/lambda/shop-orders", ""),
            ..LogEventRange::default()
        },
    }
}

fn body(queued: QueuedTelemetry) -> String {
    queued.into_messages(MAX_MESSAGE_BYTES).remove(0).body
}

/// Text that does not compress.
pub(super) fn noise(bytes: usize, seed: u64) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(35 + u8::try_from((state >> 33) % 56).unwrap())
    };
    (0..bytes).map(|_| next()).collect()
}

/// A subscription's event with incompressible log events of this size.
pub(super) fn awslogs(events: u64, bytes: usize) -> serde_json::Value {
    let events = (0..events).map(|id| FilteredLogEvent {
        id: id.to_string(),
        timestamp_ms: 1_790_000_000_000,
        message: noise(bytes, id),
        ..FilteredLogEvent::default()
    });
    let events: Vec<_> = events.collect();
    subscriber::delivery("123456789012", "/aws/lambda/orders", "s", "all", &events)
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: RedriveArguments,
}

fn arguments(to: &str, words: &[&str]) -> RedriveArguments {
    let fixed = ["redrive", "--to", to, "--bucket", "unused"];
    Line::try_parse_from(fixed.iter().chain(words)).unwrap().arguments
}

#[tokio::test]
async fn redriving_a_queue_to_itself_is_rejected() {
    let check = async |from: &str, to: &str| {
        let line = Line::try_parse_from(["redrive", "--from", from, "--to", to]).unwrap();
        let error = super::queues(&line.arguments, &aws::for_tests("http://127.0.0.1:1"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("are the same queue"), "{error}");
    };
    check("http://127.0.0.1:1/1/dead", "http://127.0.0.1:1/1/dead").await;
    check("http://127.0.0.1:1/1/dead", "http://127.0.0.1:1/1/dead/").await;
}

#[test]
fn filters_select_letters_by_reason_and_partial_acceptance() {
    let is_skipped = |words: &[&str], partial: bool| {
        let arguments = arguments("http://127.0.0.1:1/1/q", words);
        let fate = if partial { Fate::DeadLetterPartial } else { Fate::Park };
        let queued = QueuedTelemetry { fate, ..queued("answered 503 Service Unavailable", NOW) };
        let letter = DeadLetter::from_message(&body(queued)).unwrap();
        arguments.filters.reason_to_skip(&letter).is_some()
    };
    for (words, skipped) in [
        (&[][..], false),
        (&["--reason", "503"], false),
        (&["--reason", "answered (429|503)"], false),
        (&["--reason", "^503"], true),
    ] {
        assert_eq!(is_skipped(words, false), skipped, "{words:?}");
    }
    assert_eq!([&[][..], &["--partial"]].map(|words| is_skipped(words, true)), [true, false]);
}

fn client(queue: &QueueServer) -> aws::Queue {
    aws::for_tests(&queue.endpoint()).queue(&queue.queue_url()).unwrap()
}

/// A dead-letter queue and a retry queue that speak SQS's protocol.
struct Queues {
    dead: QueueServer,
    retry: QueueServer,
}

impl Queues {
    async fn with(bodies: &[String]) -> Self {
        let dead = QueueServer::start(Queue::new("dead")).await.unwrap();
        for body in bodies {
            dead.queue().send_batch(std::slice::from_ref(body), Duration::ZERO);
        }
        let retry = QueueServer::start(Queue::new("retry")).await.unwrap();
        Self { dead, retry }
    }

    async fn redrive(&self, words: &[&str]) -> RedriveSummary {
        let arguments = arguments(&self.retry.queue_url(), words);
        let redrive = Redrive {
            now_unix_nano: NOW,
            ..Redrive::new(&arguments, client(&self.retry), &Tally::new())
        };
        let mut store = DeadLetterQueue::new(client(&self.dead));
        redrive.run(&mut store).await.unwrap()
    }

    fn visible(&self) -> usize {
        self.dead.queue().receive(10).len()
    }
}

fn letters() -> Vec<String> {
    vec![
        body(queued("answered 503", NOW - HOUR)),
        body(queued("answered 400", NOW - HOUR)),
        body(QueuedTelemetry {
            fate: Fate::DeadLetterPartial,
            items: 1,
            ..queued("rejected 1", NOW - HOUR)
        }),
        "nobody reads this".to_owned(),
    ]
}

fn fates(summary: &RedriveSummary) -> [usize; 5] {
    LetterFate::ALL.map(|fate| summary.letters(fate))
}

#[tokio::test]
async fn redriven_messages_are_deleted_and_the_others_become_visible() {
    let queues = Queues::with(&letters()).await;
    let summary = queues.redrive(&["--yes"]).await;
    assert_eq!(fates(&summary), [2, 0, 1, 1, 0]);
    assert!(!summary.is_complete(), "one message cannot be read");
    let sent = queues.retry.queue().bodies();
    let reasons: Vec<String> =
        sent.iter().map(|body| QueuedTelemetry::from_body(body).unwrap().reason).collect();
    assert_eq!(reasons, ["answered 503", "answered 400"]);
    assert_eq!(queues.visible(), 2);
    assert_eq!(queues.dead.queue().len(), 2);
}

#[tokio::test]
async fn a_message_that_the_retry_queue_did_not_confirm_is_kept() {
    for (answer, reason, sent) in [
        (QueueResponse::refuse(400, "InvalidMessageContents"), "InvalidMessageContents", 1),
        (QueueResponse::DropAnswer, "the retry queue may have it", 2),
    ] {
        let queues = Queues::with(&letters()).await;
        queues.retry.queue().script([answer]);
        let summary = queues.redrive(&["--yes"]).await;
        assert_eq!(fates(&summary), [1, 0, 1, 1, 1], "{reason}");
        assert!(summary.to_json(false)["failed"].to_string().contains(reason), "{summary:?}");
        assert_eq!((queues.retry.queue().len(), queues.visible()), (sent, 3));
    }
}

#[tokio::test]
async fn redriving_stops_after_three_rounds_without_success() {
    let bodies: Vec<String> = (0..40).map(|_| body(queued("x", NOW))).collect();
    for (rounds, expected) in [
        ([false; 4], [0, 0, 0, 0, 30]),
        ([false, false, true, true], [20, 0, 0, 0, 20]),
        ([false, true, false, false], [10, 0, 0, 0, 30]),
    ] {
        let queues = Queues::with(&bodies).await;
        for is_sent in rounds {
            let refused = QueueResponse::refuse(403, "AccessDenied");
            let answer = if is_sent { QueueResponse::Take } else { refused };
            queues.retry.queue().script(vec![answer; 10]);
        }
        let summary = queues.redrive(&["--yes"]).await;
        assert_eq!(fates(&summary), expected);
        let stopped = summary.stopped.unwrap_or_default();
        assert_eq!(stopped.contains("AccessDenied"), rounds == [false; 4], "{stopped}");
        assert_eq!(queues.dead.queue().len(), 40 - expected[0]);
        assert_eq!(queues.visible(), 10);
    }
}

#[test]
fn a_queue_is_in_the_region_of_its_url() {
    let check = |url: &str, expected: Option<&str>| {
        assert_eq!(aws::region_of(url).as_deref(), expected, "{url}");
    };
    check("https://sqs.us-west-2.amazonaws.com/123456789012/retry", Some("us-west-2"));
    check("http://localhost:4566/123456789012/retry", None);
}

#[tokio::test]
async fn messages_beyond_the_limit_become_visible_again() {
    let queues = Queues::with(&letters()).await;
    let summary = queues.redrive(&["--yes", "--limit", "1"]).await;
    assert_eq!(fates(&summary), [1, 0, 0, 0, 0]);
    assert_eq!(queues.visible(), 3);
}

#[tokio::test]
async fn a_letter_is_deleted_only_after_all_its_messages_are_accepted() {
    let record = |events, bytes| json!({ "requestPayload": awslogs(events, bytes) }).to_string();
    let [large, small] = [record(130, 8000), record(1, 1)];
    let queues = Queues::with(&[large.clone(), small.clone()]).await;
    assert_eq!(fates(&queues.redrive(&["--yes"]).await), [2, 0, 0, 0, 0]);
    assert_eq!(queues.dead.queue().len(), 0);
    let messages = queues.retry.queue().len();
    assert!(messages >= 3, "{messages}");

    // The last message is a part of the large record.
    let queues = Queues::with(&[large.clone(), small]).await;
    queues.retry.queue().script(vec![QueueResponse::Take; messages - 1]);
    queues.retry.queue().script([QueueResponse::refuse(400, "InvalidMessageContents")]);
    assert_eq!(fates(&queues.redrive(&["--yes"]).await), [1, 0, 0, 0, 1]);
    assert_eq!(queues.retry.queue().len(), messages - 1);
    assert_eq!(queues.dead.queue().bodies(), [large]);
}

#[track_caller]
fn check_table(summary: &RedriveSummary, dry_run: bool, expected: &Expect) {
    let mut out = Vec::new();
    summary.write(dry_run, &mut out).unwrap();
    expected.assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn a_message_that_was_stored_unchanged_is_read_again() {
    let raw = |bytes: &[u8]| {
        let content = Content::Raw(bytes.to_vec());
        DeadLetter::from_message(&body(QueuedTelemetry {
            content,
            items: 1,
            ..queued("too new", NOW)
        }))
    };
    let letter = raw(body(queued("x", NOW)).as_bytes()).unwrap();
    assert_eq!((letter.reason.as_str(), letter.items), ("too new", 2));
    for bytes in [&b"hello"[..], &[0xff, 0xfe]] {
        assert_eq!(raw(bytes).err().unwrap().to_string(), "invalid bytes (too new)");
    }
}

#[test]
fn the_summary_lists_each_fate_with_its_reasons() {
    let mut summary = RedriveSummary::default();
    check_table(&summary, true, &expect!["no messages to send\n"]);
    let mut add = |fate: LetterFate, reason: &str, items: usize| {
        summary.add(DeadLetterResult::new(fate, reason, items));
    };
    add(LetterFate::Redriven, "answered 404", 40);
    add(LetterFate::Redriven, "answered 404", 41);
    add(LetterFate::Skipped, "answered 400", 1);
    check_table(
        &summary,
        true,
        &expect![[r"
            2 messages with 81 items would be sent again
                    2        81  answered 404
            1 message with 1 item skipped
                    1         1  answered 400
        "]],
    );
}
