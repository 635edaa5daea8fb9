//! Scripted answers, faults, loss, bounds.

use http::Method;
use http_body_util::BodyExt;
use lambda_otlp_simulator::sink::{Faults, ScriptedResponse, Signal};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::time::Duration;
use tokio::net::TcpStream;

use super::support::{
    PROTOBUF, gauge, head, logs, metrics, partial, point, post, record, send, sink, span, traces,
};

/// What a scripted answer looks like to a client, and how many of the request's two items it stores.
#[tokio::test]
async fn scripted_answers() {
    let sink = sink().start().await.unwrap();
    let check = async |signal: Signal,
                       answer: ScriptedResponse,
                       expect: Option<(u16, &[u8])>,
                       stored: u64| {
        sink.clear();
        let body = match signal {
            Signal::Traces => traces(vec![span("a"), span("b")]).encode_to_vec(),
            Signal::Logs => logs(vec![record(), record()]).encode_to_vec(),
            Signal::Metrics => metrics(vec![gauge(vec![point(1.0), point(2.0)])]).encode_to_vec(),
        };
        let label = format!("{signal:?} {answer:?}");
        sink.script([answer.clone()]);
        let answered =
            send(&sink, Method::POST, &format!("/v1/{}", signal.name()), &[PROTOBUF], body).await;
        let found = answered
            .as_ref()
            .map(|answered| (answered.status, String::from_utf8_lossy(&answered.body)));
        assert_eq!(
            found,
            expect.map(|(status, body)| (status, String::from_utf8_lossy(body))),
            "{label}"
        );
        assert_eq!((sink.counts().stored(), sink.script_len()), (stored, 0), "{label}");
        let received = sink.requests().pop().unwrap();
        assert_eq!((received.signal, received.stored), (Some(signal), stored), "{label}");
        assert_eq!(received.answered_whole, expect.is_some(), "{label}");
        assert_eq!(
            received.items,
            if answer == ScriptedResponse::CloseBeforeBody { 0 } else { 2 },
            "{label}"
        );
        answered
    };
    let traces = Signal::Traces;
    check(traces, ScriptedResponse::Ok, Some((200, b"")), 2).await;
    let unavailable = br#"{"code":503,"message":"Service Unavailable"}"#;
    check(traces, ScriptedResponse::Status(503), Some((503, unavailable)), 0).await;
    let full = br#"{"code":503,"message":"Error# MemoryTableOverflowError"}"#;
    let answered =
        check(traces, ScriptedResponse::MemoryTableOverflow, Some((503, full)), 0).await.unwrap();
    assert_eq!(answered.header("retry-after"), None);
    let full = br#"{"code":400,"message":"error while writing trace data: SqlxError# database or disk is full"}"#;
    check(traces, ScriptedResponse::DiskFull, Some((400, full)), 0).await;
    check(Signal::Logs, ScriptedResponse::DiskFull, Some((200, &[0x0a, 0])), 0).await;
    let full = br#"{"code":500,"message":"error while writing metric data: SqlxError# database or disk is full"}"#;
    check(Signal::Metrics, ScriptedResponse::DiskFull, Some((500, full)), 0).await;
    check(traces, ScriptedResponse::WriteFailed, Some((200, &[0x0a, 0])), 0).await;
    let limit = b"Failed to buffer the request body: length limit exceeded";
    check(traces, ScriptedResponse::TooLarge, Some((413, limit)), 0).await;
    let redirect = ScriptedResponse::Redirect(307, "http://127.0.0.1:9/x".to_owned());
    let answered = check(traces, redirect, Some((307, b"")), 0).await.unwrap();
    assert_eq!(answered.header("location"), Some("http://127.0.0.1:9/x"));
    let headers = vec![("x-a".to_owned(), "1".to_owned())];
    let response = ScriptedResponse::Response { status: 418, headers, body: b"tea".to_vec() };
    let answered = check(traces, response, Some((418, b"tea")), 0).await.unwrap();
    assert_eq!(answered.header("x-a"), Some("1"));
    check(traces, ScriptedResponse::CloseBeforeBody, None, 0).await;
    check(traces, ScriptedResponse::CloseAfterBody, None, 0).await;
    check(traces, ScriptedResponse::CloseAfterStore, None, 2).await;
    check(traces, ScriptedResponse::HalfResponse, None, 2).await;
    check(
        traces,
        ScriptedResponse::Huge { status: 200, bytes: 40_000 },
        Some((200, &[b' '].repeat(40_000))),
        2,
    )
    .await;
    check(traces, ScriptedResponse::Huge { status: 500, bytes: 3 }, Some((500, b"   ")), 0).await;
    let waits = [
        (ScriptedResponse::RetryAfter(429, Duration::from_millis(1500)), "2"),
        (
            ScriptedResponse::RetryAfterDate(503, Duration::from_secs(61)),
            "Thu, 01 Jan 2026 00:01:01 GMT",
        ),
    ];
    for (answer, expect) in waits {
        sink.script([answer]);
        assert_eq!(
            post(&sink, "/v1/traces", &[PROTOBUF], "").await.header("retry-after"),
            Some(expect)
        );
    }
}

/// The head of a half answer arrives, with half of the body that it promises.
#[tokio::test]
async fn half_answers_have_a_head() {
    let sink = sink().start().await.unwrap();
    sink.script([ScriptedResponse::HalfResponse, ScriptedResponse::CloseAfterStore]);
    let mut answer = head(&sink, Method::POST, "/v1/traces", &[PROTOBUF], "").await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers().get("content-length").unwrap(), "64");
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap().len(), 32);
    assert!(answer.body_mut().frame().await.unwrap().is_err());
    assert!(head(&sink, Method::POST, "/v1/traces", &[PROTOBUF], "").await.is_none());
}

#[tokio::test]
async fn scripted_partial_success() {
    let sink = sink().start().await.unwrap();
    let check = async |path: &str, body: Vec<u8>, refuse: u64, rejected: i64| {
        sink.clear();
        sink.script([ScriptedResponse::PartialSuccess(refuse)]);
        let (found, text) = partial(&post(&sink, path, &[PROTOBUF], body).await);
        assert_eq!((found, text.is_empty()), (rejected, rejected == 0), "{path}");
        assert_eq!(
            (sink.counts().stored(), sink.counts().rejected),
            (3 - rejected.unsigned_abs(), rejected.unsigned_abs()),
            "{path}"
        );
    };
    let points =
        metrics(vec![gauge(vec![point(1.0), point(2.0)]), gauge(vec![]), gauge(vec![point(3.0)])])
            .encode_to_vec();
    check("/v1/traces", traces(vec![span("a"), span("b"), span("c")]).encode_to_vec(), 2, 2).await;
    check("/v1/logs", logs(vec![record(), record(), record()]).encode_to_vec(), 9, 3).await;
    check("/v1/metrics", points.clone(), 2, 2).await;
    check("/v1/metrics", points, 0, 0).await;
}

#[tokio::test]
async fn scripts_are_taken_in_order_and_by_signal() {
    let sink = sink().start().await.unwrap();
    let check = async |path: &str, expect: u16| {
        assert_eq!(post(&sink, path, &[PROTOBUF], "").await.status, expect, "{path}");
    };
    sink.script_for(Signal::Logs, [ScriptedResponse::Status(500), ScriptedResponse::Status(501)]);
    sink.script([
        ScriptedResponse::Status(502),
        ScriptedResponse::Ok,
        ScriptedResponse::Status(503),
    ]);
    assert_eq!(sink.script_len(), 5);
    check("/v1/traces", 502).await;
    check("/v1/logs", 500).await;
    // A probe takes no step.
    assert_eq!(send(&sink, Method::GET, "/healthz", &[], "").await.unwrap().status, 200);
    check("/v1/metrics", 200).await;
    check("/v1/logs", 501).await;
    check("/v1/logs", 503).await;
    check("/v1/logs", 200).await;
    sink.script([ScriptedResponse::Status(500), ScriptedResponse::Status(500)]);
    sink.inject(Faults::seeded(1, 1.0));
    sink.heal();
    check("/v1/logs", 200).await;
}

#[tokio::test]
async fn answers_can_be_compressed() {
    let sink = sink().start().await.unwrap();
    let inflate = |body: &[u8]| {
        #[expect(clippy::disallowed_types, reason = "a test reads the sink's own small answer")]
        let mut decoder = flate2::read::GzDecoder::new(body);
        std::io::read_to_string(&mut decoder).unwrap()
    };
    sink.script([ScriptedResponse::Gzipped(Box::new(ScriptedResponse::Status(503)))]);
    let answered = post(&sink, "/v1/traces", &[PROTOBUF], "").await;
    assert_eq!((answered.status, answered.header("content-encoding")), (503, Some("gzip")));
    assert_eq!(inflate(&answered.body), r#"{"code":503,"message":"Service Unavailable"}"#);
    // As OpenObserve does it: when asked, and from 32 bytes on.
    let answered =
        post(&sink, "/v1/traces", &[PROTOBUF, ("accept-encoding", "gzip, br")], "").await;
    assert_eq!(answered.header("content-encoding"), None);
    let answered = post(&sink, "/v1/traces", &[("accept-encoding", "gzip, br")], "").await;
    assert_eq!(inflate(&answered.body), r#"{"code":400,"message":"Bad Request"}"#);
}

#[tokio::test]
async fn held_requests_wait_for_release() {
    let sink = sink().start().await.unwrap();
    sink.script([
        ScriptedResponse::held(),
        ScriptedResponse::Held(Box::new(ScriptedResponse::Status(500))),
        ScriptedResponse::held(),
    ]);
    let start = |body: Vec<u8>| {
        let sink = sink.clone();
        tokio::spawn(async move { post(&sink, "/v1/traces", &[PROTOBUF], body).await.status })
    };
    let first = start(traces(vec![span("a")]).encode_to_vec());
    sink.wait_until(|counts| counts.held == 1).await;
    let second = start(Vec::new());
    sink.wait_until(|counts| counts.held == 2).await;
    // Nothing is stored before the release, but the request can be seen.
    assert_eq!(
        (sink.counts().stored(), sink.counts().answered, sink.requests()[0].status),
        (0, 0, None)
    );
    sink.release();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 500));
    assert_eq!((sink.counts().stored(), sink.counts().held), (1, 0));
    // A client that leaves is held no more, and nothing of it is stored.
    let third = start(traces(vec![span("b")]).encode_to_vec());
    sink.wait_until(|counts| counts.held == 1).await;
    third.abort();
    sink.wait_until(|counts| counts.held == 0).await;
    assert_eq!((sink.counts().stored(), sink.requests()[2].answered_whole), (1, false));
}

/// On one thread with paused time, a delay takes none.
#[tokio::test(start_paused = true)]
async fn delays_follow_a_paused_clock() {
    let sink = sink().start().await.unwrap();
    sink.script([ScriptedResponse::Delayed(
        Duration::from_hours(1),
        Box::new(ScriptedResponse::Ok),
    )]);
    let before = tokio::time::Instant::now();
    assert_eq!(
        post(&sink, "/v1/traces", &[PROTOBUF], traces(vec![span("a")]).encode_to_vec())
            .await
            .status,
        200
    );
    assert_eq!((before.elapsed().as_secs(), sink.counts().spans), (3600, 1));
    post(&sink, "/v1/traces", &[PROTOBUF], "").await;
    let requests = sink.requests();
    assert_eq!((requests[1].at - requests[0].at).as_secs(), 3600);
    assert_eq!((requests[0].answered.unwrap() - requests[0].begun).as_secs(), 3600);
}

#[test]
fn faults_are_a_function_of_the_seed() {
    let schedule =
        |seed, probability| Faults::seeded(seed, probability).take(1000).collect::<Vec<_>>();
    let faults = |answers: &[ScriptedResponse]| {
        answers.iter().filter(|answer| **answer != ScriptedResponse::Ok).count()
    };
    assert_eq!(schedule(7, 0.3), schedule(7, 0.3));
    assert_ne!(schedule(7, 0.3), schedule(8, 0.3));
    assert_eq!(faults(&schedule(7, 0.0)), 0);
    assert_eq!(faults(&schedule(7, 1.0)), 1000);
    assert!((200..400).contains(&faults(&schedule(7, 0.3))), "{}", faults(&schedule(7, 0.3)));
    for kind in Faults::transient() {
        assert!(schedule(7, 1.0).contains(&kind), "{kind:?} never comes");
    }
    let among = Faults::seeded(7, 1.0).among([ScriptedResponse::TooLarge]);
    assert!(among.take(10).all(|answer| answer == ScriptedResponse::TooLarge));
    assert!(Faults::seeded(7, 1.0).among([]).take(10).all(|answer| answer == ScriptedResponse::Ok));
}

/// A client that sends again after every answer but a success loses nothing, and duplicates follow only requests
/// without a whole answer: what the property tests of the real client rest on.
#[tokio::test]
async fn injected_faults_keep_their_promise() {
    for seed in 0..20 {
        let sink = sink().start().await.unwrap();
        sink.inject(Faults::seeded(seed, 0.5));
        for number in 0..10 {
            let body = logs(vec![LogRecord { flags: number, ..record() }]).encode_to_vec();
            loop {
                let answered =
                    send(&sink, Method::POST, "/v1/logs", &[PROTOBUF], body.clone()).await;
                if answered
                    .is_some_and(|answered| answered.status == 200 && answered.body.is_empty())
                {
                    break;
                }
            }
        }
        let stored: Vec<_> =
            sink.log_records().into_iter().map(|record| record.item.flags).collect();
        assert!((0..10).all(|number| stored.contains(&number)), "seed {seed}: {stored:?}");
        let unsure: u64 = sink
            .requests()
            .iter()
            .filter(|request| !request.answered_whole)
            .map(|request| request.stored)
            .sum();
        assert_eq!(stored.len() as u64, 10 + unsure, "seed {seed}");
    }
}

#[tokio::test]
async fn lost_items_are_answered_with_success() {
    let sink = sink().start().await.unwrap();
    sink.lose(3);
    for _ in 0..2 {
        let answered = post(
            &sink,
            "/v1/traces",
            &[PROTOBUF],
            traces(vec![span("a"), span("b")]).encode_to_vec(),
        )
        .await;
        assert_eq!((answered.status, answered.text()), (200, ""));
    }
    post(&sink, "/v1/metrics", &[PROTOBUF], metrics(vec![gauge(vec![point(1.0)])]).encode_to_vec())
        .await;
    assert_eq!((sink.counts().lost, sink.counts().spans, sink.counts().data_points), (3, 1, 1));
    assert_eq!(sink.spans()[0].item.name, "b");
}

#[tokio::test]
async fn items_are_lost_after_those_that_are_to_be_stored() {
    let check = async |after: u64, expected: &[&str]| {
        let sink = sink().start().await.unwrap();
        sink.lose_after(after, 1);
        for names in [["a", "b"], ["c", "d"]] {
            let spans = names.map(span).to_vec();
            post(&sink, "/v1/traces", &[PROTOBUF], traces(spans).encode_to_vec()).await;
        }
        let spans = sink.spans();
        let stored: Vec<&str> = spans.iter().map(|span| span.item.name.as_str()).collect();
        assert_eq!(stored, expected, "{after}");
        assert_eq!(sink.counts().lost, 4 - expected.len() as u64);
    };
    check(0, &["b", "c", "d"]).await;
    check(1, &["a", "c", "d"]).await;
    check(2, &["a", "b", "d"]).await;
    check(3, &["a", "b", "c"]).await;
    check(4, &["a", "b", "c", "d"]).await;
}

#[tokio::test]
async fn data_points_are_lost_one_by_one() {
    let sink = sink().start().await.unwrap();
    sink.lose_after(1, 3);
    let gauges = [vec![1.0, 2.0], vec![3.0], vec![4.0, 5.0]];
    let gauges = gauges.map(|values| gauge(values.into_iter().map(point).collect()));
    post(&sink, "/v1/metrics", &[PROTOBUF], metrics(gauges.to_vec()).encode_to_vec()).await;
    let left: Vec<usize> = sink
        .metrics()
        .iter()
        .map(|metric| match &metric.item.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((sink.counts().lost, left), (3, vec![1, 1]));
}

#[tokio::test]
async fn what_is_never_to_be_lost_is_stored_and_not_counted_among_what_is_spared() {
    let sink = sink().start().await.unwrap();
    sink.never_lose("own");
    sink.lose_after(1, 2);
    for (name, scope) in [("a", "own"), ("b", ""), ("c", "own"), ("d", "other"), ("e", "own")] {
        let mut request = metrics(vec![Metric { name: name.into(), ..gauge(vec![point(1.0)]) }]);
        let scope = InstrumentationScope { name: scope.into(), ..InstrumentationScope::default() };
        request.resource_metrics[0].scope_metrics[0].scope = Some(scope);
        post(&sink, "/v1/metrics", &[PROTOBUF], request.encode_to_vec()).await;
    }
    let metrics = sink.metrics();
    let stored: Vec<&str> = metrics.iter().map(|metric| metric.item.name.as_str()).collect();
    assert_eq!((sink.counts().lost, stored.as_slice()), (1, &["a", "b", "c", "e"][..]));
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_the_rest_counted() {
    let sink =
        sink().keep_records(3).keep_requests(2, 1000).keep_oddities(1).start().await.unwrap();
    let spans = vec![span("a"), Span { end_time_unix_nano: 0, ..span("b") }];
    for _ in 0..3 {
        post(&sink, "/v1/traces", &[PROTOBUF], traces(spans.clone()).encode_to_vec()).await;
    }
    let counts = sink.counts();
    assert_eq!((sink.spans().len(), counts.spans, counts.items_not_kept), (3, 6, 3));
    assert_eq!((sink.requests().len(), counts.requests, counts.requests_not_kept), (2, 3, 1));
    assert_eq!((sink.oddities().len(), counts.oddities_not_kept), (1, 2));
    let small = self::sink().keep_requests(10, 10).start().await.unwrap();
    post(&small, "/v1/traces", &[PROTOBUF], traces(spans).encode_to_vec()).await;
    assert_eq!(
        (small.requests()[0].body.len(), small.requests()[0].items, small.counts().bodies_not_kept),
        (0, 2, 1)
    );
}

#[tokio::test]
async fn a_stopped_sink_refuses_connections() {
    let sink = sink().start().await.unwrap();
    let clone = sink.clone();
    post(&sink, "/v1/traces", &[PROTOBUF], traces(vec![span("a")]).encode_to_vec()).await;
    clone.stop().await;
    assert!(TcpStream::connect(sink.address()).await.is_err());
    assert_eq!(sink.counts().spans, 1);
}
