//! A Lambda of one extension, in this process: the three APIs over HTTP, scripted by the test.
//!
//! It freezes nothing and runs no function; those of local-lambda do. Here each answer and each moment is the test's.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lambda_otlp_extension::{Config, Count, Counts, Fatal};
use local_lambda::{HttpServer, free_port};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use test_support::Logged;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::field::Field;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber, span};
use wire::SignalKind;
use wire::protobuf::Writer;

/// A call that the extension made; the test answers it.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
    answer: oneshot::Sender<Response<Full<Bytes>>>,
}

impl Call {
    pub(crate) fn answer(self, status: u16, body: impl Into<Bytes>) {
        let answer = Response::builder()
            .status(status)
            .header("Lambda-Extension-Identifier", "the-extension")
            .body(Full::new(body.into()))
            .unwrap();
        assert!(self.answer.send(answer).is_ok(), "the extension is gone");
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The extension, and everything that Lambda would do to it.
pub(crate) struct Lambda {
    api: HttpServer,
    calls: mpsc::Receiver<Call>,
    pub(crate) receiver: SocketAddr,
    pub(crate) telemetry_uri: Option<String>,
    pub(crate) stdout: Stdout,
    pub(crate) counts: Arc<Counts>,
    extension: JoinHandle<Result<(), Fatal>>,
    records: Records,
}

/// The file that the extension makes for the records of root spans; removed with this.
struct Records(String);

impl Drop for Records {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
/// The request id of the usual invocation.
pub(crate) const FIRST: &str = "3da1f2dc-3222-475e-9205-e2e6c6318895";

impl Lambda {
    /// Starts the extension up to its first `next`, which waits for an answer.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::answering(variables, 200).await
    }

    pub(crate) async fn waiting(variables: &[(&str, &str)]) -> (Self, Call) {
        let mut lambda = Self::start(variables).await;
        let next = lambda.next().await;
        (lambda, next)
    }

    pub(crate) async fn invoked(variables: &[(&str, &str)]) -> Self {
        let mut lambda = Self::start(variables).await;
        lambda.next().await.answer(200, invoke(FIRST, MINUTE));
        lambda
    }

    /// Starts the extension without telemetry, invokes the function, and takes the next call of `next`.
    pub(crate) async fn without_telemetry(variables: &[(&str, &str)]) -> (Self, Call) {
        let mut lambda = Self::answering(variables, 404).await;
        lambda.next().await.answer(200, invoke(FIRST, MINUTE));
        let next = lambda.next().await;
        (lambda, next)
    }

    /// Starts the extension, and answers its subscription with this status.
    async fn answering(variables: &[(&str, &str)], subscription: u16) -> Self {
        let mut lambda = Self::begin(variables).await;
        let register = lambda.call("POST /2020-01-01/extension/register").await;
        assert_eq!(register.headers["Lambda-Extension-Name"], "lambda-otlp-extension");
        assert_eq!(register.headers["Lambda-Extension-Accept-Feature"], "accountId");
        register.answer(
            200,
            json!({"functionName": "orders", "functionVersion": "7", "handler": "bootstrap", "accountId": "123456789012"})
                .to_string(),
        );
        lambda.subscribe(subscription).await;
        lambda
    }

    /// Answers the subscription with this status, and returns it.
    pub(crate) async fn subscribe(&mut self, status: u16) -> Value {
        let subscription = self.subscribe_silently(status).await;
        if status == 200 {
            let subscribed = json!({"name": "lambda-otlp-extension", "state": "Subscribed", "types": ["platform"]});
            let event = json!({"time": "2026-09-21T14:13:19.000Z", "type": "platform.telemetrySubscription", "record": subscribed});
            assert_eq!(self.telemetry(&[event]).await, 200);
        }
        subscription
    }

    /// Answers the subscription without an event about it.
    pub(crate) async fn subscribe_silently(&mut self, status: u16) -> Value {
        let subscribe = self.call("PUT /2022-07-01/telemetry").await;
        let subscription = subscribe.json();
        let uri = subscription["destination"]["URI"].as_str().unwrap().to_owned();
        subscribe.answer(status, "OK");
        self.telemetry_uri = (status == 200).then_some(uri);
        subscription
    }

    /// Starts the extension; its first call is register.
    pub(crate) async fn begin(variables: &[(&str, &str)]) -> Self {
        let (api, calls) = api().await;
        let runtime_api = api.address().to_string();
        let records = Records(wire::invocation_record::path(&runtime_api));
        let port = free_port();
        let mut source: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        source.insert("AWS_LAMBDA_RUNTIME_API".into(), runtime_api);
        source.entry("AWS_LAMBDA_FUNCTION_NAME".into()).or_insert("orders".into());
        source.entry("OTEL_LAMBDA_RECEIVER_PORT".into()).or_insert(port.to_string());
        let config = Config::from_source(&source);
        let stdout = Stdout::default();
        let counts = Arc::new(Counts::default());
        let receiver = SocketAddr::from(([127, 0, 0, 1], config.receiver_port));
        let written = stdout.clone();
        let counted = Arc::clone(&counts);
        let extension = tokio::spawn(async move {
            let name = "lambda-otlp-extension";
            lambda_otlp_extension::run(&config, name, written, &counted).await
        });
        Self { api, calls, receiver, telemetry_uri: None, stdout, counts, extension, records }
    }

    /// The next call, which has to be this one.
    pub(crate) async fn call(&mut self, expected: &str) -> Call {
        let call = tokio::time::timeout(TIMEOUT, self.calls.recv())
            .await
            .unwrap_or_else(|_| panic!("no call, expected {expected}"))
            .unwrap();
        assert_eq!(format!("{} {}", call.method, call.path), expected);
        call
    }

    pub(crate) async fn next(&mut self) -> Call {
        self.call("GET /2020-01-01/extension/event/next").await
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API` for a function beside the extension.
    pub(crate) fn runtime_api(&self) -> String {
        self.api.address().to_string()
    }

    pub(crate) fn has_made_records(&self) -> bool {
        std::path::Path::new(&self.records.0).is_file()
    }

    pub(crate) fn no_call(&self) -> bool {
        self.calls.is_empty()
    }

    /// Waits for `next`, and does something again and again until it comes: what the extension reads of two connections
    /// has no order.
    pub(crate) async fn next_after(&mut self, act: impl AsyncFn(&Self)) -> Call {
        let begun = tokio::time::Instant::now();
        loop {
            act(self).await;
            if let Ok(call) = self.calls.try_recv() {
                assert_eq!(call.path, "/2020-01-01/extension/event/next");
                return call;
            }
            assert!(begun.elapsed() < TIMEOUT, "next is held");
        }
    }

    pub(crate) async fn telemetry(&self, events: &[Value]) -> u16 {
        self.telemetry_body(&serde_json::to_vec(events).unwrap()).await
    }

    pub(crate) async fn telemetry_body(&self, body: &[u8]) -> u16 {
        let uri = self.telemetry_uri.as_deref().expect("subscribed");
        let (_, rest) = uri.split_once("://").unwrap();
        let (_, path) = rest.split_once('/').unwrap();
        self.telemetry_at(&format!("/{path}"), body).await
    }

    /// Delivers telemetry at another path.
    pub(crate) async fn telemetry_at(&self, path: &str, body: &[u8]) -> u16 {
        let uri = self.telemetry_uri.as_deref().expect("subscribed");
        let (_, rest) = uri.split_once("://").unwrap();
        let (authority, _) = rest.split_once('/').unwrap();
        let headers = [("content-type", "application/json")];
        post(authority, path, &headers, body).await.unwrap().status
    }

    pub(crate) async fn otlp(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Posted {
        post(&self.receiver.to_string(), path, headers, body).await.unwrap()
    }

    pub(crate) async fn protobuf(&self, kind: SignalKind, body: &[u8]) -> Posted {
        self.otlp(kind.path(), &[("content-type", "application/x-protobuf")], body).await
    }

    /// Tells of the handler's end, and waits for `next`.
    pub(crate) async fn done(&mut self) -> Call {
        self.telemetry(&[runtime_done(FIRST)]).await;
        self.next().await
    }

    pub(crate) async fn done_and_ended(mut self) -> (Stdout, Arc<Counts>) {
        let next = self.done().await;
        self.end(next).await
    }

    /// Waits for `next`, and ends the environment.
    pub(crate) async fn shut_down(mut self) -> (Stdout, Arc<Counts>) {
        let next = self.next().await;
        self.end(next).await
    }

    pub(crate) async fn end(self, next: Call) -> (Stdout, Arc<Counts>) {
        next.answer(200, shutdown("spindown"));
        self.finished().await
    }

    /// Waits for the end of the extension, which has lost nothing that it acknowledged.
    pub(crate) async fn finished(self) -> (Stdout, Arc<Counts>) {
        let (ended, stdout, counts) = self.ended().await;
        ended.unwrap();
        assert_eq!(counts.get(Count::SpillLost), 0, "{counts}");
        (stdout, counts)
    }

    pub(crate) async fn ended(self) -> (Result<(), Fatal>, Stdout, Arc<Counts>) {
        let ended = tokio::time::timeout(TIMEOUT, self.extension).await.expect("it ends");
        (ended.unwrap(), self.stdout, self.counts)
    }
}

pub(crate) fn invoke(request_id: &str, left: Duration) -> String {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders";
    json!({"eventType": "INVOKE", "requestId": request_id, "deadlineMs": in_ms(left), "invokedFunctionArn": arn})
        .to_string()
}

/// The time of Lambda's events.
pub(crate) const TIME: &str = "2026-09-21T14:13:20.123Z";

pub(crate) fn runtime_done(request_id: &str) -> Value {
    runtime_done_with(request_id, "success")
}

pub(crate) fn runtime_done_with(request_id: &str, status: &str) -> Value {
    json!({"time": TIME, "type": "platform.runtimeDone", "record": {
        "requestId": request_id,
        "status": status,
        "spans": [
            {"name": "responseLatency", "start": "2026-09-21T14:13:20.000Z", "durationMs": 120.5},
            {"name": "responseDuration", "start": "2026-09-21T14:13:20.121Z", "durationMs": 1.0},
            {"name": "runtimeOverhead", "start": "2026-09-21T14:13:20.122Z", "durationMs": 0.5},
        ],
        "metrics": {"durationMs": 122.0, "producedBytes": 8},
    }})
}

pub(crate) fn report(request_id: &str, status: &str) -> Value {
    json!({"time": "2026-09-21T14:13:20.150Z", "type": "platform.report", "record": {
        "requestId": request_id,
        "status": status,
        "spans": [{"name": "extensionOverhead", "start": TIME, "durationMs": 26.0}],
        "metrics": {"durationMs": 148.0, "billedDurationMs": 149, "memorySizeMB": 128, "maxMemoryUsedMB": 64},
    }})
}

pub(crate) fn shutdown(reason: &str) -> String {
    shutdown_within(reason, Duration::from_secs(2))
}

pub(crate) fn shutdown_within(reason: &str, left: Duration) -> String {
    json!({"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": in_ms(left)})
        .to_string()
}

fn in_ms(left: Duration) -> u64 {
    now_ms() + u64::try_from(left.as_millis()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "deadlines are points on the wall clock")]
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Takes the lines; while it is full, a write waits.
#[derive(Clone, Default)]
pub(crate) struct Stdout(Arc<SharedStdout>);

#[derive(Default)]
struct SharedStdout {
    state: Mutex<Written>,
    /// Notified when there is room.
    room: Condvar,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    writes: usize,
    full: bool,
    /// The number of writes that it takes although it is full.
    room: usize,
    waiting: usize,
    /// The troubles of the next calls, last first.
    troubles: Vec<Trouble>,
}

#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    Error(ErrorKind),
    /// Only this number of bytes is taken.
    Part(usize),
    /// Like `Part`, and then the writer panics.
    Panic(usize),
    /// The bytes are taken, but the flush after them fails.
    Flush(ErrorKind),
}

impl Stdout {
    pub(crate) fn fill(&self, full: bool) {
        self.0.state.lock().unwrap().full = full;
        self.0.room.notify_all();
    }

    /// Lets one write go on although it is full.
    pub(crate) fn take_one(&self) {
        self.0.state.lock().unwrap().room += 1;
        self.0.room.notify_all();
    }

    pub(crate) fn trouble(&self, troubles: &[Trouble]) {
        self.0.state.lock().unwrap().troubles = troubles.iter().rev().copied().collect();
    }

    pub(crate) fn writes(&self) -> usize {
        self.0.state.lock().unwrap().writes
    }

    /// Writes that wait for room.
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().unwrap().waiting
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.state.lock().unwrap().bytes.clone()).unwrap()
    }

    /// Signal and items of each line.
    pub(crate) fn lines(&self) -> Vec<(SignalKind, usize)> {
        let text = self.text();
        let lines: Vec<_> = text.lines().map(read).collect();
        assert_eq!(self.0.state.lock().unwrap().writes, lines.len(), "one write a line");
        lines.iter().map(|request| (request.kind(), request.items())).collect()
    }

    fn logged(&self) -> Logged {
        let mut logged = Logged::default();
        logged.add(&self.text().lines().map(read).collect::<Vec<_>>());
        logged
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.logged().metrics
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.logged().spans.into_iter().map(|(_, span)| span).collect()
    }

    pub(crate) fn items(&self, kind: SignalKind) -> usize {
        self.lines().iter().filter(|(of, _)| *of == kind).map(|(_, items)| items).sum()
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.state.lock().unwrap();
        written.waiting += 1;
        while written.full && written.room == 0 {
            written = self.0.room.wait(written).unwrap();
        }
        written.waiting -= 1;
        written.room = written.room.saturating_sub(1);
        let trouble = written.troubles.pop_if(|trouble| !matches!(trouble, Trouble::Flush(_)));
        let length = match trouble {
            Some(Trouble::Error(kind)) => return Err(kind.into()),
            Some(Trouble::Part(length) | Trouble::Panic(length)) => length,
            Some(Trouble::Flush(_)) | None => bytes.len(),
        };
        written.bytes.extend_from_slice(&bytes[..length]);
        written.writes += 1;
        drop(written);
        if matches!(trouble, Some(Trouble::Panic(_))) {
            // Without the hook: on a busy machine, printing a backtrace takes longer than a full pipe may.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut written = self.0.state.lock().unwrap();
        match written.troubles.pop_if(|trouble| matches!(trouble, Trouble::Flush(_))) {
            Some(Trouble::Flush(kind)) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

/// The request of a line that has to be OTLP.
pub(crate) fn read(line: &str) -> wire::Request {
    let mut reading = wire::read_line(line, &wire::Limits::default()).expect("an OTLP line");
    assert!(reading.undecodable.is_empty() && reading.text.is_none(), "{reading:?}");
    assert_eq!(reading.decoded.len(), 1);
    reading.decoded.remove(0)
}

pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < TIMEOUT, "it never is");
        tokio::task::yield_now().await;
    }
}

#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

pub(crate) async fn post(
    authority: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Posted> {
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let mut request = Request::post(path).header(header::HOST, authority);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let answer = tokio::time::timeout(TIMEOUT, sender.send_request(request))
        .await
        .expect("an answer")
        .map_err(io::Error::other)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    Ok(Posted { status: head.status.as_u16(), headers: head.headers, body })
}

/// Lambda's APIs, and the calls that an extension makes.
pub(crate) async fn api() -> (HttpServer, mpsc::Receiver<Call>) {
    let (sender, calls) = mpsc::channel(16);
    let api = HttpServer::start(move |request| ask(request, sender.clone())).await.unwrap();
    (api, calls)
}

async fn ask(request: Request<Incoming>, calls: mpsc::Sender<Call>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let (answer, answered) = oneshot::channel();
    let path = head.uri.path().to_owned();
    let call = Call { method: head.method, path, headers: head.headers, body, answer };
    drop(calls.send(call).await);
    answered.await.unwrap_or_else(|_| {
        let mut gone = Response::new(Full::default());
        *gone.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        gone
    })
}

/// Returns the counters above 0 in one line, except for bytes, times and derived counters.
pub(crate) fn counts(counts: &Counts) -> String {
    let text = counts.to_string();
    let is_shown =
        |part: &&str| !["_bytes=", "_ms=", "written="].iter().any(|name| part.contains(name));
    text.split(' ').filter(is_shown).collect::<Vec<_>>().join(" ")
}

/// Returns a request with one item. The requests of all signals have the same nesting.
pub(crate) fn request_of(item: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes)
        .message(1, |container| container.message(2, |scope| scope.message(2, item)));
    bytes
}

/// Returns a request with this number of spans, none of them a root.
pub(crate) fn traces(spans: u64) -> Vec<u8> {
    numbered_traces(1..=spans)
}

/// Spans with these numbers as their ids.
pub(crate) fn numbered_traces(numbers: RangeInclusive<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for number in numbers {
                scope.message(2, |span| {
                    span.bytes(1, &[3; 16]);
                    span.bytes(2, &number.to_be_bytes());
                    span.bytes(4, &[9; 8]);
                    span.string(5, "query");
                    span.fixed64(7, 1);
                    span.fixed64(8, 2);
                });
            }
        });
    });
    bytes
}

/// Passes the fields of each event of the extension on this thread to `take`, until the result is dropped.
pub(crate) fn log(take: impl Fn(String) + Send + Sync + 'static) -> DefaultGuard {
    tracing::subscriber::set_default(Log(Box::new(take)))
}

/// Collects the fields of each event from now on, until the second of the results is dropped.
pub(crate) fn logged() -> (Arc<Mutex<Vec<String>>>, DefaultGuard) {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&lines);
    let guard = log(move |fields| kept.lock().unwrap().push(fields));
    // Another test may have registered an event at the same moment as this log, and then tracing keeps it without a subscriber.
    tracing::callsite::rebuild_interest_cache();
    (lines, guard)
}

struct Log(Box<dyn Fn(String) + Send + Sync>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("lambda_otlp_")
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Vec::new();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            fields.push(format!("{field}={value:?}"));
        });
        (self.0)(fields.join(" "));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
