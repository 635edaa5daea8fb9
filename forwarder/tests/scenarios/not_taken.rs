//! What a backend does not take: how often it is asked, and where what remains is kept.

use crate::memory_queue::AtOnce;
use crate::memory_queue::MemoryQueue;
use crate::support::{config, default_options, incoming, payload};
use backend::{
    Client, Fate, HttpRequest, HttpResponse, Outcome, Reason, Transport, TransportError,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use lambda_otlp_forwarder::{
    Content, Destination, Event, Export, Forwarder, IngestPolicy, IngestWindow, InvocationContext,
    KeptIn, LogEventRange, MAX_MESSAGE_BYTES, OldRecords, Options, Origin, Parked, QueueError,
    Queues, Report, RuleSet, Template,
};
use serde_json::json;
use simulator::queue::{Queue, QueueResponse};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use wire::protobuf::{Reader, Writer};
use wire::{Request, SignalKind};

const NOW: u64 = 1_790_000_000_000_000_000;

/// Log records with these bodies.
fn logs(bodies: impl Iterator<Item = String>) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for body in bodies {
                scope.message(2, |record| {
                    record.fixed64(1, NOW);
                    record.string(3, &body);
                });
            }
        });
    });
    Request::trusted(SignalKind::Logs, bytes)
}

fn bodies(request: &Request) -> Vec<String> {
    let inner = |message: &[u8], number| -> Vec<Vec<u8>> {
        let fields = Reader::new(message).map(|field| field.unwrap());
        let wanted = fields.filter(|field| field.number == number);
        wanted.map(|field| field.as_len().unwrap().to_vec()).collect()
    };
    let containers = inner(request.bytes(), 1);
    let scopes = containers.iter().flat_map(|container| inner(container, 2));
    let records = scopes.flat_map(|scope| inner(&scope, 2));
    let texts = records.flat_map(|record| inner(&record, 3));
    texts.map(|text| String::from_utf8(text).unwrap()).collect()
}

/// What is parked for this destination.
fn parked(destination: &str, content: Content, items: usize) -> Parked {
    Parked {
        destination: destination.to_owned(),
        stream: None,
        content,
        items,
        oldest_unix_nano: 0,
        newest_unix_nano: 0,
        first_seen_unix_nano: NOW,
        reason: "answered 503 Service Unavailable".to_owned(),
        partial: false,
        log_events: LogEventRange {
            origin: Origin::new("", "", "/aws/lambda/orders", ""),
            ..LogEventRange::default()
        },
    }
}

/// A forwarder with its queues, on a clock that stands still unless it waits.
struct Stack<E> {
    began: Instant,
    retry: Queue,
    dead_letters: Queue,
    forwarder: Forwarder<E, MemoryQueue<AtOnce>>,
}

impl<E: Export> Stack<E> {
    fn new(export: E) -> Self {
        Self::with(vec![destination("default", export)], default_options())
    }

    fn with(destinations: Vec<Destination<E>>, options: Options) -> Self {
        let (retry, dead_letters) = (Queue::new("retry"), Queue::new("dead"));
        let queues = Queues {
            retry: Some(MemoryQueue { queue: retry.clone(), asks: AtOnce }),
            dead_letters: Some(MemoryQueue { queue: dead_letters.clone(), asks: AtOnce }),
        };
        let destinations = destinations.into_iter().map(Arc::new).collect();
        let forwarder = Forwarder::new(destinations, queues, options);
        Self { began: Instant::now(), retry, dead_letters, forwarder }
    }

    async fn forward(&self, event: Event) -> Report {
        self.forward_within(event, Duration::from_mins(1), Duration::from_secs(70)).await
    }

    async fn forward_within(&self, event: Event, backend: Duration, queue: Duration) -> Report {
        let now = Instant::now();
        let elapsed = u64::try_from(self.began.elapsed().as_nanos()).unwrap();
        let invocation = InvocationContext {
            observed_unix_nano: NOW + elapsed,
            deadline: now + backend,
            queue_deadline: now + queue,
            account: None,
        };
        let report = self.forwarder.forward(event, &invocation).await;
        assert!(report.account.balances(), "{:?}", report.account);
        report
    }

    fn park(&self, parked: Parked) {
        let (messages, too_large) = parked.into_messages(MAX_MESSAGE_BYTES);
        assert!(too_large.is_empty());
        let bodies: Vec<String> = messages.into_iter().map(|message| message.body).collect();
        self.retry.send_batch(&bodies, Duration::ZERO);
    }

    /// Receives the next message, as the redrive function does.
    async fn redrive(&self) -> Report {
        tokio::time::advance(self.retry.next_visible_in().unwrap()).await;
        let received = self.retry.receive(1);
        let event = serde_json::from_value(self.retry.lambda_event(&received)).unwrap();
        let report = self.forward(event).await;
        let failures = report.batch_item_failures.as_ref().unwrap();
        for message in received.iter().filter(|message| !failures.contains(&message.message_id)) {
            self.retry.delete(&message.receipt_handle).unwrap();
        }
        report
    }

    fn dead_letters(&self) -> Vec<Parked> {
        self.dead_letters.bodies().iter().map(|body| Parked::from_body(body).unwrap()).collect()
    }
}

fn destination<E>(name: &str, export: E) -> Destination<E> {
    Destination::new(name, export, &config().destination, IngestPolicy::any_time())
}

/// What a backend does is a function of the request.
struct Backend<F>(F);

impl<F: Fn(&Request) -> Outcome + Sync> Export for Backend<F> {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        (self.0)(&request)
    }
}

fn takes(request: &Request) -> Outcome {
    Outcome { accepted: request.items(), requests_sent: 1, ..Outcome::default() }
}

fn refuses(request: &Request, status: u16, fate: Fate) -> Outcome {
    let reason = Reason::Status { status, text: String::new(), hint: "" };
    Outcome { requests_sent: 1, ..Outcome::unsent(request.clone(), reason, fate) }
}

/// An HTTP server that refuses requests with a bad record in them, and keeps the others.
#[derive(Clone, Default)]
struct Server {
    refuses_all: bool,
    stored: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Transport for Server {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let bytes = wire::gzip::inflate(&request.body, 64 << 20).unwrap();
        let bodies = bodies(&Request::trusted(request.kind, bytes));
        let is_bad = self.refuses_all || bodies.iter().any(|body| body.starts_with("bad"));
        if !is_bad {
            let mut stored = self.stored.lock().unwrap();
            for body in bodies {
                *stored.entry(body).or_default() += 1;
            }
        }
        let (status, body) = if is_bad { (400, "Invalid record") } else { (200, "") };
        let body = Bytes::from_static(body.as_bytes());
        Ok(HttpResponse { status, headers: HeaderMap::new(), body, cut: false })
    }
}

fn client<T: Transport>(transport: T) -> Client<T> {
    Client::with_transport(&config().destination, transport).unwrap().with_seeded_waits(1)
}

/// The client's own halves, and four pieces of which each is halved as far.
const REQUESTS_IN_VAIN: usize = 7 + 4 * 7;

#[tokio::test(start_paused = true)]
async fn bad_records_all_over_a_message_do_not_keep_the_good_ones_back() {
    for (records, every) in [(1_000, 200), (1_000, 10), (3_000, 2), (5, 2)] {
        let server = Server::default();
        let stack = Stack::new(client(server.clone()));
        let name =
            |n: usize| if n % every == every / 2 { format!("bad {n}") } else { n.to_string() };
        let request = logs((0..records).map(name));
        stack.park(parked("default", Content::Request(request), records));
        let mut receives = 0;
        while !stack.retry.is_empty() {
            let report = stack.redrive().await;
            // Where some are taken, eight pieces may be halved to the end.
            assert!(report.requests_sent <= 7 + 8 * 25, "{}", report.requests_sent);
            receives += 1;
            assert!(receives < 10_000, "{records} records, every {every}th bad: for ever");
        }
        let stored = server.stored.lock().unwrap();
        let good: Vec<String> = (0..records).map(name).filter(|n| !n.starts_with("bad")).collect();
        assert!(good.iter().all(|good| stored.get(good) == Some(&1)), "{stored:?}");
        let letters = stack.dead_letters();
        let bad: usize = letters.iter().map(|letter| letter.items).sum();
        assert_eq!(bad + good.len(), records);
        println!("{records} records, every {every}th bad: {receives} receives");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_refuses_everything_costs_no_record_and_few_requests() {
    let stack = Stack::new(client(Server { refuses_all: true, ..Server::default() }));
    let request = logs((0..1_000).map(|n| n.to_string()));
    stack.park(parked("default", Content::Request(request), 1_000));
    for _ in 0..12 {
        let report = stack.redrive().await;
        assert_eq!(report.ledger().returned, 1_000);
        assert!(report.requests_sent <= REQUESTS_IN_VAIN, "{}", report.requests_sent);
    }
    assert_eq!((stack.retry.len(), stack.dead_letters.len()), (1, 0));
}

/// OpenObserve with a full disk: it takes each request and writes nothing.
struct Full;

impl Transport for Full {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        let body = Bytes::from_static(b"\x0a\x00");
        Ok(HttpResponse { status: 200, headers: HeaderMap::new(), body, cut: false })
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_writes_nothing_is_asked_little_more_in_pieces() {
    let stack = Stack::new(client(Full));
    let request = logs((0..1_000).map(|n| n.to_string()));
    stack.park(parked("default", Content::Request(request), 1_000));
    for _ in 0..12 {
        let report = stack.redrive().await;
        assert_eq!(report.ledger().returned, 1_000);
        // The client's own, which are two and 24 to halve it; then pieces, the last begun after at most 23.
        assert!(report.requests_sent <= 26 + 23 + 26, "{}", report.requests_sent);
    }
    assert_eq!((stack.retry.len(), stack.dead_letters.len()), (1, 0));
}

struct Busy;

impl Transport for Busy {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        let headers =
            HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("600"))]);
        Ok(HttpResponse { status: 429, headers, body: Bytes::new(), cut: false })
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_as_long_as_the_backend_asked_for() {
    let stack = Stack::new(client(Busy));
    stack.park(parked("default", Content::Request(logs(["one".to_owned()].into_iter())), 1));
    let report = stack.redrive().await;
    assert_eq!(report.ledger().returned, 1);
    assert_eq!(stack.retry.next_visible_in(), Some(Duration::from_mins(10)));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_is_counted_for_its_own_destination() {
    let stack = Stack::new(Backend(takes));
    stack.park(parked("audit", Content::Raw(b"bytes".to_vec()), 1));
    let report = stack.redrive().await;
    assert_eq!(report.account.destinations["audit"].dead_lettered, 1);
    assert_eq!(report.account.destinations["audit"].items.undecodable, 1);
    assert!(stack.retry.is_empty());
    assert_eq!(stack.dead_letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_comes_out_of_the_queue_stays_there_without_a_queue_for_dead_letters() {
    let mut stack = Stack::new(Backend(takes));
    stack.forwarder = Forwarder::new(
        vec![Arc::new(destination("default", Backend(takes)))],
        Queues {
            retry: Some(MemoryQueue { queue: stack.retry.clone(), asks: AtOnce }),
            dead_letters: None,
        },
        default_options(),
    );
    let line = r#"{"__otel_otlp_stdout":"0.1.0","endpoint":"/v1/traces","payload":"!"}"#;
    let content = Content::Line {
        event_id: "1".to_owned(),
        timestamp_ms: 1_790_000_000_000,
        line: line.to_owned(),
    };
    stack.park(parked("default", content, 1));
    let report = stack.redrive().await;
    assert_eq!(report.ledger().returned, 1, "{:?}", report.undelivered);
    assert_eq!(stack.retry.len(), 1);
    // The log group of a line that just came from there still holds it.
    let report = stack.forward(incoming(&payload("/aws/lambda/orders", &[line]))).await;
    assert_eq!((report.ledger().returned, report.ledger().dead_lettered), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_somebody_kept_is_kept_whatever_happens_to_others() {
    let options = Options { keep_undecodable: false, ..default_options() };
    let stack = Stack::with(vec![destination("default", Backend(takes))], options);
    let line = r#"{"__otel_otlp_stdout":"0.1.0","payload":"no base64"}"#;
    let content = Content::Line {
        event_id: "1".to_owned(),
        timestamp_ms: 1_790_000_000_000,
        line: line.to_owned(),
    };
    stack.park(parked("default", content, 1));
    let report = stack.redrive().await;
    assert_eq!((report.ledger().dropped, report.ledger().dead_lettered), (0, 1));
    let report = stack.forward(incoming(&payload("/aws/lambda/orders", &[line]))).await;
    assert_eq!((report.ledger().dropped, report.ledger().dead_lettered), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_waits_for_a_person_says_so() {
    let stack = Stack::new(Backend(|request: &Request| {
        let (first, second) = request.clone().split_at(1);
        let mut outcome = takes(&first);
        outcome += refuses(&second, 403, Fate::ParkWithAlarm);
        outcome
    }));
    let content = Content::Request(logs(["one", "two"].into_iter().map(str::to_owned)));
    stack.park(parked("default", content, 2));
    let report = stack.redrive().await;
    let [rest] = &report.undelivered[..] else { panic!("{:?}", report.undelivered) };
    assert_eq!((&rest.kept_in, rest.items, rest.alarm), (&KeptIn::RetryQueue, 1, true));
}

/// A Kinesis event with one record for each function, which holds these lines.
fn kinesis(functions: &[&str], lines: &[&str]) -> Event {
    let record = |(number, function): (usize, &&str)| {
        let delivery = payload(&format!("/aws/lambda/{function}"), lines).to_string();
        let data = STANDARD.encode(wire::gzip::compress(6, delivery.as_bytes()));
        json!({"eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "kinesis": {"sequenceNumber": number.to_string(), "data": data, "approximateArrivalTimestamp": 1_790_000_000.5}})
    };
    let records: Vec<_> = functions.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({"Records": records})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_request_finds_out_whether_a_backend_is_back() {
    let is_up = Mutex::new(false);
    let sent = Mutex::new(Vec::new());
    let backend = Backend(|request: &Request| {
        sent.lock().unwrap().push(request.items());
        let is_up = *is_up.lock().unwrap();
        if is_up { takes(request) } else { refuses(request, 503, Fate::Park) }
    });
    let stream = Template::parse("{function}").unwrap();
    let destination = destination("default", backend).with_stream(Some(stream));
    let stack = Stack::with(vec![destination], default_options());
    let event = || kinesis(&["orders", "stock", "billing"], &["a line"]);
    for _ in 0..3 {
        assert_eq!(stack.forward(event()).await.ledger().parked, 3);
    }
    assert_eq!(sent.lock().unwrap().drain(..).count(), 9);
    assert_eq!(stack.forward(event()).await.ledger().parked, 3);
    assert_eq!(sent.lock().unwrap().drain(..).count(), 0, "it is left alone");
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(stack.forward(event()).await.ledger().parked, 3);
    assert_eq!(sent.lock().unwrap().drain(..).count(), 1, "one probe, the others are parked");
    *is_up.lock().unwrap() = true;
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(stack.forward(event()).await.ledger().accepted, 3, "they wait for the probe only");
}

/// A line that becomes a span.
fn span_line() -> String {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.always_bytes(1, &[1; 16]);
                span.always_bytes(2, &[2; 8]);
                span.string(5, "GET /");
                span.fixed64(7, NOW);
                span.fixed64(8, NOW + 1);
            });
        });
    });
    let payload = STANDARD.encode(wire::gzip::compress(6, &bytes));
    json!({"__otel_otlp_stdout": "0.1.0", "source": "orders", "endpoint": "http://localhost:4318/v1/traces",
        "method": "POST", "content-type": "application/x-protobuf", "content-encoding": "gzip",
        "base64": true, "payload": payload})
    .to_string()
}

/// Takes logs, and is silent about all else until the deadline.
struct SilentAboutSpans(Mutex<Vec<SignalKind>>);

impl Export for SilentAboutSpans {
    async fn export(&self, _: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        if request.kind() == SignalKind::Logs {
            return takes(&request);
        }
        if Instant::now() < deadline {
            self.0.lock().unwrap().push(request.kind());
            sleep_until(deadline).await;
        }
        Outcome { requests_sent: 1, ..Outcome::unsent(request, Reason::Deadline, Fate::Park) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_is_taken_does_not_keep_another_one_waiting() {
    let options = Options { enough_to_deliver: 1, ..default_options() };
    let backend = Arc::new(SilentAboutSpans(Mutex::default()));
    let stack = Stack::with(vec![destination("default", Shared(Arc::clone(&backend)))], options);
    let span = span_line();
    let event = || kinesis(&["orders", "stock"], &["a line", &span]);
    let begin = Instant::now();
    let report = stack.forward(event()).await;
    assert_eq!((report.ledger().accepted, report.ledger().parked), (2, 2), "{:?}", report.account);
    // The patience of the event, once.
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(backend.0.lock().unwrap().len(), 1);
    for _ in 0..2 {
        assert_eq!(stack.forward(event()).await.ledger().parked, 2);
    }
    backend.0.lock().unwrap().clear();
    let begin = Instant::now();
    let report = stack.forward(event()).await;
    assert_eq!((report.ledger().accepted, report.ledger().parked), (2, 2));
    assert_eq!(backend.0.lock().unwrap().len(), 0, "spans are left alone");
    assert_eq!(begin.elapsed().as_secs(), 0);
}

struct Shared<E>(Arc<E>);

impl<E: Export + Send> Export for Shared<E> {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        self.0.export(stream, request, deadline).await
    }
}

/// On a clock that runs: a paused one waits for the thread that reads, which waits for its batches to be taken.
#[tokio::test]
async fn an_event_that_neither_backend_nor_queue_takes_ends_and_is_returned() {
    let options = Options { enough_to_deliver: 1, ..default_options() };
    let stack = Stack::with(vec![destination("default", Shared(Arc::new(Hangs)))], options);
    stack.retry.script(std::iter::repeat_n(QueueResponse::Hang, 100));
    let lines: Vec<&str> = vec!["a line"; 40];
    let delivery = payload("/aws/lambda/orders", &lines);
    let (backend, queue) = (Duration::from_millis(50), Duration::from_millis(100));
    let report = stack.forward_within(several(&delivery, 20), backend, queue).await;
    assert_eq!(report.ledger().returned, 800, "{:?}", report.ledger());
    let is_late =
        |kept: &KeptIn| matches!(kept, KeptIn::Returned(Some(QueueError::Deadline { .. })));
    assert!(
        report.undelivered.iter().any(|part| is_late(&part.kept_in)),
        "no queue was asked late"
    );
    assert!(lambda_otlp_forwarder::answer(report).is_err());
}

struct Hangs;

impl Export for Hangs {
    async fn export(&self, _: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        sleep_until(deadline).await;
        Outcome::unsent(request, Reason::Deadline, Fate::Park)
    }
}

/// A subscription's event that holds the same delivery several times.
fn several(delivery: &serde_json::Value, times: usize) -> Event {
    event(&delivery.to_string().repeat(times))
}

fn event(text: &str) -> Event {
    let data = STANDARD.encode(wire::gzip::compress(6, text.as_bytes()));
    serde_json::from_value(json!({"awslogs": {"data": data}})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_with_a_mistake_in_it_is_delivered_up_to_there_once_and_kept() {
    let stack = Stack::new(Backend(takes));
    let text = payload("/aws/lambda/orders", &["one", "two"]).to_string() + "garbage";
    let report = stack.forward(event(&text)).await;
    assert_eq!((report.ledger().accepted, report.ledger().dead_lettered), (2, 1));
    assert!(lambda_otlp_forwarder::answer(report).is_ok(), "it does not come again");
    let [letter] = &stack.dead_letters()[..] else { panic!() };
    let Content::Raw(bytes) = &letter.content else { panic!("{letter:?}") };
    assert_eq!(wire::gzip::inflate(bytes, 1 << 20).unwrap(), text.as_bytes());
    // Where no queue takes it Lambda has to keep it, and is told what comes twice.
    stack.dead_letters.script([QueueResponse::refuse(403, "AccessDenied")]);
    let report = stack.forward(event(&text)).await;
    assert_eq!(report.taken_of_returned(), 2);
    let error = lambda_otlp_forwarder::answer(report).unwrap_err().to_string();
    assert!(error.contains("1 of 3 items were not delivered (2 others were"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_several_ways_is_delivered_in_smaller_pieces() {
    let largest = Arc::new(Mutex::new(0));
    let names = ["default", "a", "b", "c"];
    let largest_of = |largest: &Arc<Mutex<usize>>| {
        let largest = Arc::clone(largest);
        Backend(move |request: &Request| {
            let mut largest = largest.lock().unwrap();
            *largest = request.bytes().len().max(*largest);
            takes(request)
        })
    };
    let destinations: Vec<_> =
        names.iter().map(|name| destination(name, largest_of(&largest))).collect();
    let mut stack = Stack::with(destinations, default_options());
    let line = "x".repeat(10_000);
    let event = || several(&payload("/aws/lambda/orders", &vec![line.as_str(); 250]), 1);
    assert_eq!(stack.forward(event()).await.ledger().accepted, 250);
    let one_way = std::mem::take(&mut *largest.lock().unwrap());
    let rules = RuleSet::parse(
        r#"
        [destination.a]
        endpoint = "http://127.0.0.1:9/a"
        [destination.b]
        endpoint = "http://127.0.0.1:9/b"
        [destination.c]
        endpoint = "http://127.0.0.1:9/c"
        [[route]]
        log_group = "*"
        to = ["default", "a", "b", "c"]
        "#,
    )
    .unwrap();
    let destinations = names.iter().map(|name| Arc::new(destination(name, largest_of(&largest))));
    stack.forwarder.set_rules(Arc::new(rules), destinations.collect());
    assert_eq!(stack.forward(event()).await.ledger().accepted, 4 * 250);
    let four_ways = *largest.lock().unwrap();
    assert!(one_way > 2_500_000 && four_ways < 1_000_000, "{one_way}, {four_ways}");
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_records_for_their_time_is_reported() {
    let window = Some(IngestWindow { past: Duration::from_hours(5) });
    for (old_records, expected) in [(OldRecords::Drop, (1, 0)), (OldRecords::Restamp, (0, 1))] {
        let policy = IngestPolicy { window, old_records };
        let destination =
            Destination::new("default", Backend(takes), &config().destination, policy);
        let stack = Stack::with(vec![destination], default_options());
        tokio::time::advance(Duration::from_hours(6)).await;
        let report = stack.forward(incoming(&payload("/aws/lambda/orders", &["a line"]))).await;
        assert_eq!((report.dropped_for_time, report.restamped), expected);
    }
}

/// A destination that hangs, or takes its time.
struct Slow {
    hangs: bool,
    time: Duration,
}

impl Export for Slow {
    async fn export(&self, _: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        if Instant::now() >= deadline {
            return Outcome::unsent(request, Reason::Deadline, Fate::Park);
        }
        if self.hangs {
            tokio::time::sleep_until(deadline).await;
            return refuses(&request, 503, Fate::Park);
        }
        tokio::time::sleep(self.time).await;
        takes(&request)
    }
}

/// With a stream for each function, so that as many requests are sent.
fn by_function(name: &str, slow: Slow) -> Destination<Slow> {
    destination(name, slow).with_stream(Some(Template::parse("{function}").unwrap()))
}

fn functions(number: usize) -> Event {
    let names: Vec<String> = (0..number).map(|n| format!("f{n}")).collect();
    kinesis(&names.iter().map(String::as_str).collect::<Vec<_>>(), &["a line"])
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_hangs_keeps_no_other_waiting() {
    let rules = RuleSet::parse(
        r#"
        [destination.other]
        endpoint = "http://127.0.0.1:9/other"
        [[route]]
        log_group = "*"
        to = ["default", "other"]
        "#,
    )
    .unwrap();
    let time = Duration::from_millis(100);
    let destinations = ["default", "other"]
        .map(|name| Arc::new(by_function(name, Slow { hangs: name == "default", time })));
    let mut stack = Stack::with(Vec::new(), default_options());
    stack.forwarder.set_rules(Arc::new(rules), destinations.into());
    let report = stack.forward(functions(12)).await;
    let of = |name: &str| report.account.destinations[name];
    assert_eq!((of("default").parked, of("other").accepted), (12, 12));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_takes_its_time_is_sent_everything() {
    let slow = Slow { hangs: false, time: Duration::from_secs(1) };
    let stack = Stack::with(vec![by_function("default", slow)], default_options());
    let began = Instant::now();
    assert_eq!(stack.forward(functions(90)).await.ledger().accepted, 90);
    assert_eq!(began.elapsed(), Duration::from_secs(15), "six at once");
}
