//! Telemetry that a backend does not accept.

mod deliveries;
mod division;
mod messages;
mod new_columns;
mod oversize;
mod slow_destinations;

use crate::memory_queue::MemoryQueue;
use crate::support::{
    Backend, HANGS, Slow, config, default_options, event_of, gzip_base64, incoming, kinesis_event,
    line_of, logs, payload, refuses, takes, texts,
};
use backend::{
    Client, DestinationConfig, Fate, HttpRequest, HttpResponse, Outcome, Reason, Transport,
    TransportError,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use lambda_otlp_forwarder::{
    Content, Destination, Event, Export, Forwarder, IngestPolicy, InvocationContext, KeptIn,
    LogBatch, LogEvent, LogEventRange, MAX_MESSAGE_BYTES, Options, Origin, QueuedTelemetry, Queues,
    Report, RuleSet, SourceLimits, Template,
};
use local_lambda::queue::{Queue, QueueResponse};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::{Request, SignalKind};

const NOW: u64 = 1_790_000_000_000_000_000;

/// A message after an outage.
pub(crate) fn parked(destination: &str, content: Content, items: usize) -> QueuedTelemetry {
    QueuedTelemetry {
        destination: destination.to_owned(),
        stream: None,
        content,
        items,
        oldest_unix_nano: None,
        newest_unix_nano: None,
        first_seen_unix_nano: NOW,
        reason: "answered 503 Service Unavailable".to_owned(),
        fate: Fate::Park,
        is_in_log_group: false,
        log_events: LogEventRange {
            origin: Origin::new("", "", "/aws/lambda/orders", ""),
            ..LogEventRange::default()
        },
    }
}

/// A forwarder with its queues, on a paused clock.
pub(crate) struct Stack<E> {
    began: Instant,
    retry: Queue,
    dead_letters: Queue,
    pub(crate) forwarder: Forwarder<E, MemoryQueue>,
}

impl<E: Export> Stack<E> {
    pub(crate) fn new(export: E) -> Self {
        Self::with(vec![destination("default", export)], default_options())
    }

    pub(crate) fn with(destinations: Vec<Destination<E>>, options: Options) -> Self {
        let queue = |name| Queue::new(name).made_at(NOW / 1_000_000);
        let retry = queue("retry");
        let dead_letters = queue("dead");
        let reached = |queue: &Queue| Some(MemoryQueue { queue: queue.clone(), network: None });
        let queues = Queues { retry: reached(&retry), dead_letters: reached(&dead_letters) };
        let destinations = destinations.into_iter().map(Arc::new).collect();
        let forwarder = Forwarder::new(destinations, queues, options);
        Self { began: Instant::now(), retry, dead_letters, forwarder }
    }

    pub(crate) async fn forward(&self, event: Event) -> Report {
        let now = Instant::now();
        let elapsed = u64::try_from(self.began.elapsed().as_nanos()).unwrap();
        let invocation = InvocationContext {
            observed_unix_nano: NOW + elapsed,
            deadline: now + Duration::from_mins(1),
            queue_deadline: now + Duration::from_secs(70),
            account: None,
        };
        let report = self.forwarder.forward(event, &invocation).await;
        assert!(report.ledgers.balances(), "{:?}", report.ledgers);
        report
    }

    fn park(&self, parked: QueuedTelemetry) {
        let messages = parked.into_messages(MAX_MESSAGE_BYTES);
        let bodies: Vec<String> = messages.into_iter().map(|message| message.body).collect();
        self.retry.send_batch(&bodies, Duration::ZERO);
    }

    /// Parks a request with this number of records, whose texts are numbers.
    fn park_records(&self, records: usize) {
        let request = logs((0..records).map(|n| n.to_string()));
        self.park(parked("default", Content::Request(request), records));
    }

    /// Receives the next message, like the redrive function.
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

    pub(crate) fn dead_letters(&self) -> Vec<QueuedTelemetry> {
        self.dead_letters
            .bodies()
            .iter()
            .map(|body| QueuedTelemetry::from_body(body).unwrap())
            .collect()
    }
}

pub(crate) fn destination<E>(name: &str, export: E) -> Destination<E> {
    Destination::new(name, export, &config().destination, IngestPolicy::any_time())
}

/// A destination at this address, which gets the log events of each function in a request of their own.
fn by_function<E>(name: &str, export: E) -> Destination<E> {
    let base = Url::parse(&format!("http://127.0.0.1:9/api/{name}")).unwrap();
    let config = DestinationConfig::new(&base);
    let destination = Destination::new(name, export, &config, IngestPolicy::any_time());
    destination.with_stream(Some(Template::parse("{function}").unwrap()))
}

/// Text that does not compress.
fn noise(bytes: usize, seed: u64) -> String {
    let mut state = seed;
    let letter = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from(state >> 58).unwrap())
    };
    (0..bytes).map(letter).collect()
}

/// An HTTP server that answers with this status, headers and body. It notes the log records of requests with status 200.
#[derive(Clone)]
struct Server<F> {
    answer: F,
    stored: Arc<Mutex<BTreeMap<String, usize>>>,
}

type Answer = (u16, HeaderMap, &'static [u8]);

impl<F: Fn(&[String]) -> Answer> Server<F> {
    fn new(answer: F) -> Self {
        Self { answer, stored: Arc::default() }
    }
}

/// The status of a [`Server`] that closes the connection instead.
const CLOSES: u16 = 0;

/// Rejects requests with a bad record.
fn rejects_bad(status: u16) -> impl Fn(&[String]) -> Answer + Clone {
    move |texts| {
        let is_bad = texts.iter().any(|text| text.starts_with("bad"));
        let (status, body) = if is_bad { (status, &b"Invalid record"[..]) } else { (200, &[][..]) };
        (status, HeaderMap::new(), body)
    }
}

fn busy(_: &[String]) -> Answer {
    let after = (http::header::RETRY_AFTER, HeaderValue::from_static("600"));
    (429, HeaderMap::from_iter([after]), b"")
}

impl<F: Fn(&[String]) -> Answer + Sync> Transport for Server<F> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let bytes = wire::gzip::inflate(&request.body, 64 << 20).unwrap();
        let texts = texts(&Request::trusted(request.kind, bytes));
        let (status, headers, body) = (self.answer)(&texts);
        if status == CLOSES {
            let text = "no answer from 127.0.0.1:9: connection closed".to_owned();
            return Err(TransportError { sent: true, is_closed: true, text });
        }
        let mut stored = self.stored.lock().unwrap();
        texts.into_iter().filter(|_| status == 200).for_each(|text| {
            *stored.entry(text).or_default() += 1;
        });
        Ok(HttpResponse { status, headers, body: Bytes::from_static(body), cut: false })
    }
}

fn client<T: Transport>(transport: T) -> Client<T> {
    Client::with_transport(&config().destination, transport).unwrap().with_seeded_waits(1)
}

/// A Kinesis event with a delivery of each function.
fn kinesis(functions: &[&str], lines: &[&str]) -> Event {
    kinesis_event(functions.iter().enumerate().map(|(number, function)| {
        let mut delivery = payload(&format!("/aws/lambda/{function}"), lines);
        for (n, event) in delivery["logEvents"].as_array_mut().unwrap().iter_mut().enumerate() {
            event["id"] = format!("{number}{n:055}").into();
        }
        gzip_base64(&delivery.to_string())
    }))
}
