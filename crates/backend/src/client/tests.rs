//! Deliveries to a backend in memory, on a paused clock.

use super::*;
use crate::destination::Profile;
use crate::http::{HttpResponse, gzip_level};
use crate::judge::tests::response;
use crate::sanitize::tests::{attributes, gauge, request, resource};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::strategy::{Strategy as _, ValueTree as _};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use url::Url;

type Answer = Result<HttpResponse, TransportError>;

/// A backend that answers requests, and keeps their streams and numbers of items.
struct Fake<A> {
    answer: A,
    streams: Mutex<Vec<String>>,
    sizes: Mutex<Vec<usize>>,
}

impl<A: Fn(&Request) -> Answer + Sync> Fake<A> {
    fn new(answer: A) -> Self {
        Self { answer, streams: Mutex::default(), sizes: Mutex::default() }
    }

    fn take_sizes(&self) -> Vec<usize> {
        std::mem::take(&mut *self.sizes.lock().unwrap())
    }
}

impl<A: Fn(&Request) -> Answer + Sync> Transport for &Fake<A> {
    async fn send(&self, request: HttpRequest) -> Answer {
        let stream = request.stream.as_ref().map_or("-", |stream| stream.to_str().unwrap());
        self.streams.lock().unwrap().push(stream.to_owned());
        let bytes = wire::gzip::inflate(&request.body, 4 << 20).unwrap();
        let request = Request::trusted(request.kind, bytes);
        self.sizes.lock().unwrap().push(request.items());
        (self.answer)(&request)
    }
}

/// Answers of [`response`] in this order, then 200.
fn script(answers: &[&'static str]) -> impl Fn(&Request) -> Answer {
    let answers = Mutex::new(answers.iter().copied());
    move |_| Ok(response(answers.lock().unwrap().next().unwrap_or("200")))
}

/// Refuses requests with a bad record.
fn refuses_bad() -> impl Fn(&Request) -> Answer {
    |request| {
        let is_bad = request.bytes().windows(3).any(|bytes| bytes == b"bad");
        Ok(response(if is_bad { "400 \"bad record\"" } else { "200" }))
    }
}

/// Crashes on requests with a bad record.
fn crashes_on_bad() -> impl Fn(&Request) -> Answer {
    |request| {
        let is_bad = request.bytes().windows(3).any(|bytes| bytes == b"bad");
        if is_bad { closed() } else { Ok(response("200")) }
    }
}

fn closed() -> Answer {
    let text = "no answer from test: connection closed".to_owned();
    Err(TransportError { sent: true, is_closed: true, text })
}

/// Refuses requests with more items.
fn takes_at_most(items: usize) -> impl Fn(&Request) -> Answer {
    move |request| Ok(response(if request.items() > items { "413" } else { "200" }))
}

fn client<A: Fn(&Request) -> Answer + Sync>(fake: &Fake<A>) -> Client<&Fake<A>> {
    // The query is a secret.
    let base = Url::parse("http://test/?token=s3cret-token").unwrap();
    Client::with_transport(&DestinationConfig::new(&base), fake).unwrap()
}

fn seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

async fn deliver<A: Fn(&Request) -> Answer + Sync>(fake: &Fake<A>, request: Request) -> Outcome {
    client(fake).export(None, request, seconds(60)).await
}

/// Different log records, of which these are bad.
fn log_records(records: usize, is_bad: impl Fn(usize) -> bool) -> Request {
    let log_record = |number: usize| LogRecord {
        time_unix_nano: number as u64,
        severity_text: if is_bad(number) { "bad" } else { "good" }.to_owned(),
        ..Default::default()
    };
    Request::of_log_records(None, (0..records).map(log_record).collect())
}

fn good(records: usize) -> Request {
    log_records(records, |_| false)
}

/// The outcome in one line: `10 accepted; 1 DeadLetter: answered 400 …`.
fn summary(outcome: &Outcome) -> String {
    let part = |part: &UndeliveredPart| {
        let UndeliveredPart { items, reason, fate, .. } = part;
        format!("; {items} {fate:?}: {reason}")
    };
    let parts: String = outcome.parts.iter().map(part).collect();
    format!("{} accepted{parts}", outcome.accepted)
}

fn fates(outcome: &Outcome) -> Vec<(usize, Fate)> {
    outcome.parts.iter().map(|part| (part.items, part.fate)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_the_deadline_is_not_attempted() {
    for (answer, expected) in
        [("503, retry-after: 10", (1, 0, 0)), ("503, retry-after: 3", (2, 3, 1))]
    {
        let start = Instant::now();
        let outcome = deliver(&Fake::new(script(&[answer])), good(1)).await;
        let elapsed = start.elapsed().as_secs();
        assert_eq!((outcome.requests_sent, elapsed, outcome.accepted), expected, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline() {
    let backend = Fake::new(script(&[]));
    let outcome = client(&backend).export(None, good(5), seconds(0)).await;
    assert_eq!(summary(&outcome), "0 accepted; 5 Park: not sent: the deadline has passed");
    assert_eq!(backend.take_sizes(), [0; 0]);
}

/// Numbers of bad records among 1,000, at random places.
fn bad_records(count: usize) -> BTreeSet<usize> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let bad = proptest::collection::btree_set(0usize..1000, count);
    bad.new_tree(&mut runner).unwrap().current()
}

#[tokio::test(start_paused = true)]
async fn good_records_are_accepted_beside_scattered_bad_ones() {
    for (bad, max_requests) in [(0, 1), (1, 21), (2, 41), (5, 91), (10, 161), (18, 260)] {
        let numbers = bad_records(bad);
        let records = log_records(1000, |number| numbers.contains(&number));
        let outcome = deliver(&Fake::new(refuses_bad()), records).await;
        assert_eq!(outcome.accepted, 1000 - bad, "{bad}: {}", summary(&outcome));
        assert_eq!(fates(&outcome), vec![(1, Fate::DeadLetter); bad]);
        assert!(outcome.requests_sent <= max_requests, "{bad}: {}", outcome.requests_sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_crashes_the_backend_is_isolated() {
    // Two retries and an empty request come before the search.
    for (records, bad, max_requests) in [(201, 1, 25), (1000, 1, 25), (1000, 5, 120), (2, 1, 12)] {
        let numbers: BTreeSet<usize> = match records {
            1000 => bad_records(bad),
            _ => [records - 1].into(),
        };
        let request = log_records(records, |number| numbers.contains(&number));
        let outcome = deliver(&Fake::new(crashes_on_bad()), request).await;
        assert_eq!(outcome.accepted, records - bad, "{}", summary(&outcome));
        assert_eq!(fates(&outcome), vec![(1, Fate::DeadLetter); bad]);
        assert!(outcome.requests_sent <= max_requests, "{records}: {}", outcome.requests_sent);
        // Each item of an unanswered request may have been stored.
        assert_eq!(outcome.ambiguous_items, records);
    }
}

type Fails = fn(&Request) -> Answer;

struct Crashing {
    answer: Fails,
    records: usize,
    expected: String,
    /// The numbers of records in the requests.
    sizes: Vec<usize>,
}

#[tokio::test(start_paused = true)]
async fn crashes_blame_content_only_if_an_empty_request_is_answered() {
    let again = "no answer from test: connection closed, again and again, while an empty request is answered: \
                 does the backend crash on this content?";
    let page = "answered 500 Internal Server Error: Service panicked";
    let panics: Fails = |request| {
        let is_empty = request.items() == 0;
        Ok(response(if is_empty {
            "200"
        } else {
            "500, content-type: text/plain \"Service panicked\""
        }))
    };
    let never: Fails = |_| closed();
    let empty_only: Fails =
        |request| if request.items() == 0 { Ok(response("200")) } else { closed() };
    let own_error: Fails = |_| Ok(response("500 \"{}\""));
    for Crashing { answer, records, expected, sizes } in [
        // Without an answer to the empty request, the backend is down.
        Crashing {
            answer: never,
            records: 64,
            expected: "0 accepted; 64 Park: no answer from test: connection closed".to_owned(),
            sizes: vec![64, 64, 64, 0],
        },
        Crashing {
            answer: never,
            records: 1,
            expected: "0 accepted; 1 Park: no answer from test: connection closed".to_owned(),
            sizes: vec![1, 1, 1, 0],
        },
        // An error of the backend's own is no crash.
        Crashing {
            answer: own_error,
            records: 64,
            expected: "0 accepted; 64 Park: answered 500 Internal Server Error: {}".to_owned(),
            sizes: vec![64, 64, 64],
        },
        // If each record crashes it, the backend may be at fault.
        Crashing {
            answer: empty_only,
            records: 2,
            expected: "0 accepted; 2 Park: no answer from test: connection closed".to_owned(),
            sizes: vec![2, 2, 2, 0, 1, 1, 1, 0, 1, 1, 1, 0],
        },
        Crashing {
            answer: panics,
            records: 2,
            expected: format!("0 accepted; 2 Park: {page}"),
            sizes: vec![2, 2, 2, 0, 1, 1, 1, 0, 1, 1, 1, 0],
        },
        // A single record waits for the acceptance of others.
        Crashing {
            answer: empty_only,
            records: 1,
            expected: format!("0 accepted; 1 ParkRefused: {again}"),
            sizes: vec![1, 1, 1, 0, 1, 1, 1, 0],
        },
    ] {
        let backend = Fake::new(answer);
        let outcome = deliver(&backend, good(records)).await;
        assert_eq!(summary(&outcome), expected);
        assert_eq!(backend.take_sizes(), sizes, "{expected}");
    }
    let backend = Fake::new(empty_only);
    let outcome = deliver(&backend, good(1000)).await;
    assert_eq!((outcome.requests_sent, fates(&outcome)), (30, vec![(1000, Fate::Park)]));
    assert!(!outcome.parts[0].reason.refuses_content(), "{}", summary(&outcome));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_retries_divides_at_once_and_leaves_single_records_to_its_caller() {
    for (records, bad, sizes) in [(4, 3, vec![4, 0, 2, 2, 1, 1, 0]), (1, 0, vec![1])] {
        let backend = Fake::new(crashes_on_bad());
        let client = client(&backend).without_retries();
        let request = log_records(records, |number| number == bad);
        let outcome = client.export(None, request, seconds(2)).await;
        assert_eq!((outcome.accepted, outcome.parts.len()), (records - 1, 1));
        assert_eq!(backend.take_sizes(), sizes, "{}", summary(&outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn passing_crashes_blame_no_record() {
    for crashes in 3..6 {
        let left = AtomicUsize::new(crashes);
        let next = |left: usize| left.checked_sub(1);
        let backend = Fake::new(|request: &Request| {
            let crashes = request.items() > 0
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
            if crashes { closed() } else { Ok(response("200")) }
        });
        for records in [1, 2, 3] {
            left.store(crashes, Ordering::Relaxed);
            let outcome = deliver(&backend, good(records)).await;
            assert_eq!(outcome.accepted, records, "{crashes}: {}", summary(&outcome));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn halving_parks_the_rest_after_one_request_for_four_items() {
    let records = log_records(1000, |number| number % 9 == 0);
    let outcome = deliver(&Fake::new(refuses_bad()), records).await;
    assert_eq!((outcome.requests_sent, outcome.items()), (1 + 48 + 250, 1000));
    let parked = outcome.parts.iter().filter(|part| part.fate == Fate::Park).count();
    assert!(parked > 0 && outcome.accepted > 200, "{}", summary(&outcome));
}

#[tokio::test(start_paused = true)]
async fn a_fully_refused_request_is_parked_after_a_search_in_several_places() {
    for (records, sizes) in [
        (4, vec![4, 2, 1, 2, 1, 1, 1]),
        (64, vec![64, 32, 16, 8, 4, 2, 1, 32, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 8, 4, 2, 1, 4, 2, 1]),
    ] {
        let backend = Fake::new(refuses_bad());
        let request = log_records(records, |_| true);
        let outcome = deliver(&backend, request.clone()).await;
        let parked = format!("0 accepted; {records} Park: answered 400 Bad Request: bad record");
        assert_eq!(summary(&outcome), parked);
        let of = |request: &Request| -> BTreeSet<Vec<u8>> {
            request.messages().map(<[u8]>::to_vec).collect()
        };
        assert_eq!(of(&outcome.parts[0].request), of(&request));
        assert_eq!(backend.take_sizes(), sizes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_split_down_to_the_size_that_the_backend_accepts() {
    let backend = Fake::new(takes_at_most(2500));
    assert_eq!(summary(&deliver(&backend, good(16_000)).await), "16000 accepted");
    let sizes = backend.take_sizes();
    assert_eq!(sizes[..4], [16_000, 8000, 4000, 2000]);
    assert!(sizes[3..].iter().all(|items| (1000..2500).contains(items)));
    let outcome = deliver(&Fake::new(takes_at_most(0)), good(64)).await;
    assert_eq!((outcome.requests_sent, fates(&outcome)), (25, vec![(64, Fate::Park)]));
}

struct Scripted<'a> {
    answers: &'static [&'static str],
    records: usize,
    max_bytes: usize,
    /// The undelivered records with their fates.
    expected: &'a [(usize, Fate)],
    /// The numbers of records in the requests.
    sizes: &'a [usize],
    ambiguous: usize,
}

#[tokio::test(start_paused = true)]
async fn scripted_replies_decide_fates_and_sizes_of_requests() {
    const NOTHING_WRITTEN: &str = "200 \"\n\0\"";
    let whole = 4 << 20;
    let third = good(64).bytes().len() / 3;
    for Scripted { answers, records, max_bytes, expected, sizes, ambiguous } in [
        // This may be the fault of a proxy, and says nothing about larger requests.
        Scripted {
            answers: &["413"; 2],
            records: 64,
            max_bytes: whole,
            expected: &[],
            sizes: &[64, 32, 16, 16, 32],
            ambiguous: 0,
        },
        // A failed write is retried once before halving.
        Scripted {
            answers: &[NOTHING_WRITTEN; 8],
            records: 4,
            max_bytes: whole,
            expected: &[(4, Fate::Park)],
            sizes: &[4, 4, 2, 1, 2, 1, 1, 1],
            ambiguous: 4,
        },
        // An oversized request is split before sending, and unsent pieces are parked with the failed one.
        Scripted {
            answers: &[],
            records: 64,
            max_bytes: third,
            expected: &[],
            sizes: &[16, 16, 16, 16],
            ambiguous: 0,
        },
        Scripted {
            answers: &["200", "504", "504", "504"],
            records: 64,
            max_bytes: third,
            expected: &[(16, Fate::Park); 3],
            sizes: &[16, 16, 16, 16],
            ambiguous: 16,
        },
    ] {
        let backend = Fake::new(script(answers));
        let mut client = client(&backend);
        client.destination.max_request_bytes = max_bytes;
        let outcome = client.export(None, good(records), seconds(10)).await;
        assert_eq!(fates(&outcome), expected, "{}", summary(&outcome));
        assert_eq!((outcome.items(), backend.take_sizes()), (records, sizes.to_vec()));
        assert_eq!(outcome.ambiguous_items, ambiguous, "{}", summary(&outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn parked_parts_with_different_reasons_stay_separate() {
    let nothing_written = "200 \"\n\0\"";
    let answers = [nothing_written, nothing_written, nothing_written, "503", "503", "503"];
    let outcome = deliver(&Fake::new(script(&answers)), good(2)).await;
    let reasons: Vec<_> = outcome.parts.iter().map(|part| part.reason.to_string()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].starts_with("answered 200 but wrote nothing"), "{reasons:?}");
    assert_eq!(reasons[1], "answered 503 Service Unavailable");
}

/// The next delivery then sends pieces, and does not begin the search again with the whole request.
#[tokio::test(start_paused = true)]
async fn a_search_that_a_failure_ends_keeps_the_refusal_as_its_reason() {
    let answers = ["400 \"bad record\"", "400 \"bad record\"", "503, retry-after: 20"];
    let outcome = deliver(&Fake::new(script(&answers)), good(8)).await;
    let refused = outcome.parts.iter().filter(|part| part.reason.refuses_content());
    assert_eq!((outcome.accepted, refused.count()), (0, outcome.parts.len()));
    assert!(!outcome.parts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn transport_errors_are_masked() {
    let text = "no answer from test: s3cret-token";
    let backend = Fake::new(|_: &Request| {
        Err(TransportError { sent: false, is_closed: false, text: text.into() })
    });
    let masked = "0 accepted; 1 Park: no answer from test: ****";
    assert_eq!(summary(&deliver(&backend, good(1)).await), masked);
}

#[tokio::test(start_paused = true)]
async fn a_retry_sends_the_same_bytes() {
    let outcome = deliver(&Fake::new(script(&["503"])), good(10)).await;
    let one = wire::gzip::compress(gzip_level(SignalKind::Logs), good(10).bytes()).len();
    assert_eq!((outcome.requests_sent, outcome.bytes_sent), (2, 2 * one));
}

struct StreamChoice {
    /// The client's default stream.
    own: Option<&'static str>,
    /// The stream of the request.
    asked: Option<&'static str>,
    expected: &'static str,
    expected_warning: &'static str,
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_request_overrides_the_default_stream() {
    let warning = r#"stream "a\nb" is not used: it contains characters that a header cannot"#;
    for StreamChoice { own, asked, expected, expected_warning } in [
        StreamChoice { own: None, asked: None, expected: "-", expected_warning: "" },
        StreamChoice { own: Some("own"), asked: None, expected: "own", expected_warning: "" },
        StreamChoice {
            own: Some("own"),
            asked: Some("shop"),
            expected: "shop",
            expected_warning: "",
        },
        StreamChoice { own: Some("own"), asked: Some(""), expected: "own", expected_warning: "" },
        StreamChoice { own: None, asked: Some("a\nb"), expected: "-", expected_warning: warning },
        StreamChoice {
            own: Some("own"),
            asked: Some("a\nb"),
            expected: "own",
            expected_warning: warning,
        },
    ] {
        let backend = Fake::new(script(&[]));
        let mut client = client(&backend);
        client.stream = own.map(HeaderValue::from_static);
        let outcome = client.export(asked, good(1), seconds(5)).await;
        assert_eq!(*backend.streams.lock().unwrap(), [expected], "{asked:?}");
        assert_eq!(outcome.warning, expected_warning);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_warning_is_reported_once() {
    let own = "accepted, but the answer is not OTLP: {\"ok\":true}";
    let partial = r#"{"partialSuccess":{"errorMessage":"old schema"}}"#;
    for (profile, body, first) in [
        (Profile::Otlp, "{\"ok\":true}", own),
        (Profile::Otlp, partial, "old schema"),
        (Profile::OpenObserve, partial, "old schema"),
    ] {
        let answer = format!("200, content-type: application/json \"{body}\"");
        let backend = Fake::new(|_: &Request| Ok(response(&answer)));
        let mut client = client(&backend);
        client.destination.profile = profile;
        for expected in [first, "", ""] {
            let outcome = client.export(None, good(1), seconds(5)).await;
            let Outcome { accepted, requests_sent, warning, .. } = outcome;
            assert_eq!((accepted, requests_sent, warning.as_str()), (1, 1, expected));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_accepted_size_is_learned() {
    // A small refused request teaches nothing, and neither does a backend that accepts no size.
    let most = AtomicUsize::new(2);
    let backend =
        Fake::new(|request: &Request| takes_at_most(most.load(Ordering::Relaxed))(request));
    let client = client(&backend);
    let span = || Span { name: "x".repeat(8000), ..Span::default() };
    let request = Request::of_spans(None, (0..64).map(|_| span()).collect());
    assert_eq!(client.export(None, good(4), seconds(5)).await.accepted, 4);
    most.store(0, Ordering::Relaxed);
    assert_eq!(client.export(None, request.clone(), seconds(5)).await.accepted, 0);
    assert_eq!(backend.take_sizes()[..4], [4, 2, 2, 64]);
    most.store(10, Ordering::Relaxed);
    for expected in [[vec![64, 32, 16], vec![8; 8]].concat(), vec![8; 8]] {
        let outcome = client.export(None, request.clone(), seconds(5)).await;
        assert_eq!(outcome.accepted, 64);
        assert_eq!(backend.take_sizes(), expected);
    }
}

fn spans(keys_of_resource: &str, keys_of_items: &[&str]) -> Request {
    let items = keys_of_items.iter().map(|keys| attributes(keys)).collect();
    request(SignalKind::Traces, resource(keys_of_resource), items)
}

/// Four gauges, of which the last one has this name and key.
fn gauges(name: &str, key: &str) -> Request {
    let gauge = |(name, key): (&str, &str)| gauge(name, std::iter::once(attributes(key)));
    let four = [("m", "a"), ("m", "a"), ("m", "a"), (name, key)];
    Request::of_metrics(None, four.map(gauge).into())
}

#[tokio::test(start_paused = true)]
async fn a_few_items_with_all_new_columns_are_sent_ahead() {
    let refusals = AtomicUsize::new(0);
    let next = |left: usize| left.checked_sub(1);
    let is_refused = || refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
    let backend = Fake::new(|_: &Request| Ok(response(if is_refused() { "400" } else { "200" })));
    let client = client(&backend);
    let with = |span| [vec!["a", "a, b"], vec![span; 4]].concat();
    let records = request(SignalKind::Logs, resource(""), vec![attributes("z"); 4]);
    for (stream, request, sizes) in [
        (None, spans("r", &with("a")), &[1, 5][..]),
        (None, spans("r", &with("b, a")), &[6]),
        (None, spans("r", &with("c, b")), &[1, 5]),
        (None, spans("r", &with("c, b, a")), &[6]),
        // A new key of the resource, another stream.
        (None, spans("r, s", &with("a")), &[1, 5]),
        (Some("other"), spans("r", &with("a")), &[1, 5]),
        // If half of the items or more would go first, the request is sent whole. A combination of known columns is not new.
        (None, spans("r", &["d", "e", "f", "a"]), &[4]),
        (None, spans("r", &["d", "e", "f", "d, e, f"]), &[4]),
        // Each metric is a stream.
        (None, gauges("m", "a"), &[1, 3]),
        (None, gauges("m", "a"), &[4]),
        (None, gauges("n", "a"), &[1, 3]),
        (None, gauges("m", "b"), &[1, 3]),
        (None, records, &[4]),
    ] {
        let items = request.items();
        let outcome = client.export(stream, request, seconds(5)).await;
        assert_eq!(outcome.accepted, items, "{outcome:?}");
        assert_eq!(backend.take_sizes(), sizes);
    }
    // A refused item does not make its columns known.
    for (refused, accepted) in [(1, 5), (0, 6)] {
        refusals.store(refused, Ordering::Relaxed);
        let outcome = client.export(None, spans("r", &with("g")), seconds(5)).await;
        assert_eq!((outcome.accepted, outcome.parts.len()), (accepted, refused));
        assert_eq!(backend.take_sizes(), [1, 5]);
    }
    // A few accepted items do not show that the others are at fault.
    let outcome = deliver(
        &Fake::new(script(&[["200"; 1].as_slice(), &["400"; 30]].concat())),
        spans("r", &with("a")),
    )
    .await;
    assert_eq!(outcome.accepted, 1);
    assert!(outcome.parts.iter().all(|part| part.fate != Fate::DeadLetter), "{outcome:?}");
}
