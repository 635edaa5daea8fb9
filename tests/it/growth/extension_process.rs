//! The extension between a scripted Lambda, a function with an SDK, and a backend.

use super::http_peer::{Answer, Client, serve};
use super::{Growth, SLACK};
use bytes::Bytes;
use extension::{Config, Counts, run};
use http_body_util::Full;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use wire::protobuf::Writer;

/// Of the requests that wait for the backend, more or fewer are in memory.
const BUFFERED: usize = 1024 * 1024;

/// A call of `next`, to be answered with an event.
type Next = oneshot::Sender<Value>;

fn text(body: impl Into<Bytes>) -> Answer {
    let answer = http::Response::builder().header("Lambda-Extension-Identifier", "i");
    answer.body(Full::new(body.into())).unwrap()
}

/// The trace of one invocation: a root span that names it, and a query.
fn traces(number: u64, request_id: &str) -> Vec<u8> {
    let trace_id = [number.to_be_bytes(), (!number).to_be_bytes()].concat();
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |root| {
                root.bytes(1, &trace_id);
                root.bytes(2, &(number * 2 + 1).to_be_bytes());
                root.string(5, "orders");
                root.fixed64(7, 1_790_000_000_000_000_000 + number);
                root.fixed64(8, 1_790_000_000_000_000_001 + number);
                root.message(9, |attribute| {
                    attribute.string(1, "faas.invocation_id");
                    attribute.message(2, |value| value.string(1, request_id));
                });
            });
            scope.message(2, |query| {
                query.bytes(1, &trace_id);
                query.bytes(2, &(number * 2 + 2).to_be_bytes());
                query.bytes(4, &(number * 2 + 1).to_be_bytes());
                query.string(5, "query");
            });
        });
    });
    bytes
}

/// Lambda's events about an invocation, and a line of the function. Some invocations time out. Of some there is no end, or no
/// event at all.
fn telemetry(number: u64, is_first: bool, request_id: &str) -> Vec<Value> {
    let time = |millis: u64| {
        let minutes = number / 60 % 1440;
        let seconds = number % 60;
        format!("2026-09-21T{:02}:{:02}:{seconds:02}.{millis:03}Z", minutes / 60, minutes % 60)
    };
    let trace = format!("Root=1-5bef4de7-{number:024x};Parent={number:016x};Sampled=1");
    // After a failure, `next` waits for the end of the invocation, which must come.
    let may_fail = number.is_multiple_of(13) && !(5..=7).contains(&((number + 1) % 17));
    let status = if may_fail { "timeout" } else { "success" };
    let start = json!({ "time": time(0), "type": "platform.start", "record": {
        "requestId": request_id, "version": "$LATEST",
        "tracing": { "type": "X-Amzn-Trace-Id", "value": trace, "spanId": format!("{number:016x}") } } });
    let line = json!({ "time": time(1), "type": "function", "record": format!("order {number} of {request_id}") });
    let done = json!({ "time": time(2), "type": "platform.runtimeDone", "record": {
        "requestId": request_id, "status": status, "metrics": { "durationMs": 2.0, "producedBytes": 8 },
        "spans": [{ "name": "responseLatency", "start": time(1), "durationMs": 1.0 }] } });
    let report = json!({ "time": time(3), "type": "platform.report", "record": {
        "requestId": request_id, "status": status, "metrics": { "durationMs": 2.0, "billedDurationMs": 3,
        "memorySizeMB": 128, "maxMemoryUsedMB": 64 } } });
    match number % 17 {
        // These fill the tables.
        _ if is_first => vec![start, line],
        5 => vec![start, line],
        6 => Vec::new(),
        7 => vec![start, line, report],
        _ => vec![start, line, done, report],
    }
}

async fn lambda(variables: &[(&str, &str)], what: &str, slack: usize) {
    let (asks, mut asked) = mpsc::channel::<Next>(1);
    let subscribed = Arc::new(Mutex::new(None::<String>));
    let destination = Arc::clone(&subscribed);
    let server = serve(move |asked, body| {
        let asks = asks.clone();
        let destination = Arc::clone(&destination);
        async move {
            match asked.as_str() {
                "POST /2020-01-01/extension/register" => text(
                    r#"{"functionName":"orders","functionVersion":"7","handler":"h","accountId":"123456789012"}"#,
                ),
                "PUT /2022-07-01/telemetry" => {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let uri = body["destination"]["URI"].as_str().map(str::to_owned);
                    *destination.lock().unwrap() = uri;
                    text("OK")
                }
                "GET /2020-01-01/extension/event/next" => {
                    let (answer, answered) = oneshot::channel();
                    asks.send(answer).await.unwrap();
                    text(answered.await.unwrap().to_string())
                }
                other => panic!("{other}"),
            }
        }
    })
    .await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let api = server.address().to_string();
    let port = free.port().to_string();
    let own = [
        ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "orders"),
        ("OTEL_LAMBDA_RECEIVER_PORT", &port),
        // In direct mode, `next` would wait for the ends of the first invocations, which never come.
        ("OTEL_LAMBDA_FLUSH_TIMEOUT", "0"),
    ];
    let all_variables: HashMap<String, String> = own
        .iter()
        .chain(variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let config = Config::from_source(&all_variables);
    let counts = Arc::new(Counts::default());
    let is_blocked = Arc::<AtomicBool>::default();
    let stdout = Stdout { is_blocked: Arc::clone(&is_blocked) };
    let counted = Arc::clone(&counts);
    let extension = tokio::spawn(async move { run(&config, "extension", stdout, &counted).await });
    let mut next = asked.recv().await.unwrap();
    let receiver = SocketAddr::from((Ipv4Addr::LOCALHOST, free.port()));
    let uri = subscribed.lock().unwrap().clone().unwrap();
    let (authority, after_slash) = uri.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let path = format!("/{after_slash}");
    let (_, listener_port) = authority.rsplit_once(':').unwrap();
    let listener = (Ipv4Addr::LOCALHOST, listener_port.parse().unwrap());
    let mut sdk = Client::connect(receiver).await;
    let mut events = Client::connect(listener.into()).await;
    let (invocations, mut growth) = Growth::new();
    for number in 0..invocations {
        let request_id = format!("3da1f2dc-3222-475e-9205-{number:012x}");
        let arn = format!("arn:aws:lambda:eu-west-1:123456789012:function:orders:{}", number % 997);
        next.send(json!({ "eventType": "INVOKE", "requestId": request_id, "deadlineMs": u64::MAX / 2, "invokedFunctionArn": arn })).unwrap();
        if number.is_multiple_of(100) {
            sdk = Client::connect(receiver).await;
        }
        let status =
            sdk.post("/v1/traces", "application/x-protobuf", traces(number, &request_id)).await;
        assert!([200, 503].contains(&status), "{status}");
        let body =
            serde_json::to_vec(&telemetry(number, growth.is_first(number), &request_id)).unwrap();
        events.post(&path, "application/json", body).await;
        next = asked.recv().await.unwrap();
        growth.note(number);
    }
    post_much_at_once(receiver, &is_blocked).await;
    next.send(json!({ "eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 0 }))
        .unwrap();
    extension.await.unwrap().unwrap();
    println!("{what}: {counts}");
    growth.check(what, slack);
}

/// A stdout that discards lines, and takes none while its reader stands still.
struct Stdout {
    is_blocked: Arc<AtomicBool>,
}

impl Write for Stdout {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        while self.is_blocked.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Posts requests that inflate to 105 MB together. The extension has room for 8 MiB. It answers once a line is written, so
/// stdout takes none until the first request found no room.
async fn post_much_at_once(receiver: SocketAddr, stdout_is_blocked: &Arc<AtomicBool>) {
    const REQUESTS: usize = 30;
    const MAX_BYTES: usize = 64 << 20;
    let mut body = Vec::new();
    Writer::new(&mut body).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |record| {
                record.message(5, |body| body.string(1, &"x".repeat(3_500_000)));
            });
        });
    });
    let body = wire::gzip::compress(1, &body);
    super::ALLOCATOR.set_limit(super::ALLOCATOR.allocated() + MAX_BYTES).unwrap();
    stdout_is_blocked.store(true, Ordering::Relaxed);
    let mut posts = JoinSet::new();
    for _ in 0..REQUESTS {
        let body = body.clone();
        let stdout_is_blocked = Arc::clone(stdout_is_blocked);
        posts.spawn(async move {
            let mut sdk = Client::connect(receiver).await;
            let status = sdk.post_encoded("/v1/logs", "application/x-protobuf", "gzip", body).await;
            if status == 503 {
                stdout_is_blocked.store(false, Ordering::Relaxed);
            }
            status
        });
    }
    let statuses = posts.join_all().await;
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    super::ALLOCATOR.set_limit(usize::MAX).unwrap();
}

pub(crate) async fn an_extension_that_writes_lines() {
    lambda(&[], "the extension in stdout mode", SLACK).await;
}

pub(crate) async fn an_extension_that_sends() {
    let backend = serve(|_, _| async { text("") }).await;
    let endpoint = format!("http://{}", backend.address());
    lambda(
        &[("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", &endpoint)],
        "the extension in direct mode",
        BUFFERED,
    )
    .await;
}
