//! OTLP over gRPC: accepted and refused calls, and their answers.

use crate::fake_lambda::support::{self, Lambda, TIMEOUT, request_of, traces, until};
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request, Version, header};
use lambda_otlp_extension::Count;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use wire::{SignalKind, gzip};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

const TAKEN: &str = "200 application/grpc 0";

type Client = SendRequest<Bytes>;

async fn connect(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

fn begin(
    client: &mut Client,
    method: &str,
    metadata: &[(&str, &str)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://localhost:4317{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    client.send_request(request.body(()).unwrap(), false).unwrap()
}

/// Calls with these bytes. Returns `HTTP status, content type, gRPC's status, gRPC's message`.
async fn call(
    client: &mut Client,
    method: &str,
    metadata: &[(&str, &str)],
    bytes: &[u8],
) -> Answer {
    let (answer, mut body) = begin(client, method, metadata);
    // The call may be over before all of its message is sent.
    body.send_data(Bytes::copy_from_slice(bytes), true).ok();
    read(answer).await
}

struct Answer {
    said: String,
    body: Vec<u8>,
    headers: HeaderMap,
}

async fn read(answer: ResponseFuture) -> Answer {
    let reading = async {
        let (head, mut incoming) = answer.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = incoming.data().await {
            body.extend_from_slice(&piece.unwrap());
        }
        // Where there is no body the status may stand in the head.
        let trailers = incoming.trailers().await.unwrap();
        let after = trailers.unwrap_or_else(|| head.headers.clone());
        let text = |of: &HeaderMap, name: &str| {
            of.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let said = [
            head.status.as_u16().to_string(),
            text(&head.headers, "content-type"),
            text(&after, "grpc-status"),
            text(&after, "grpc-message"),
        ];
        Answer { said: said.join(" ").trim_end().to_owned(), body, headers: head.headers }
    };
    tokio::time::timeout(TIMEOUT, reading).await.expect("an answer")
}

fn message(flag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[flag], length.as_slice(), content].concat()
}

/// A request of one data point or log record.
fn one_item(kind: SignalKind) -> Vec<u8> {
    request_of(|item| match kind {
        SignalKind::Metrics => {
            item.string(1, "orders");
            item.message(5, |gauge| gauge.message(1, |point| point.fixed64(3, 7)));
        }
        _ => item.fixed64(1, 7),
    })
}

async fn export(client: &mut Client, spans: u64) -> String {
    call(client, TRACES, &[], &message(0, &traces(spans))).await.said
}

#[tokio::test]
async fn all_signals_are_written_to_stdout_before_acknowledgement() {
    let (lambda, next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    for (method, kind, request) in [
        (TRACES, SignalKind::Traces, traces(3)),
        (METRICS, SignalKind::Metrics, one_item(SignalKind::Metrics)),
        (LOGS, SignalKind::Logs, one_item(SignalKind::Logs)),
    ] {
        let answer = call(&mut client, method, &[], &message(0, &request)).await;
        assert_eq!((answer.said.as_str(), answer.body.as_slice()), (TAKEN, &[0; 5][..]));
        assert_eq!(lambda.stdout.lines().last().map(|(kind, _)| *kind), Some(kind));
    }
    let nothing = call(&mut client, LOGS, &[], &message(0, &[])).await;
    assert_eq!(nothing.said, TAKEN, "nothing in it, nothing written");
    let (_, counts) = lambda.end(next).await;
    assert_eq!(support::counts(&counts), "received=4");
}

#[tokio::test]
async fn a_message_is_inflated_according_to_its_compression_flag() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    let plain = traces(2);
    let compressed = gzip::compress(6, &traces(2));
    let mut said = async |encoding: &str, message: &[u8]| {
        call(&mut client, TRACES, &[("grpc-encoding", encoding)], message).await.said
    };
    assert_eq!(said("gzip", &message(1, &compressed)).await, TAKEN);
    assert_eq!(said("gzip", &message(0, &plain)).await, TAKEN);
    assert_eq!(said("identity", &message(0, &plain)).await, TAKEN);
    assert_eq!(lambda.stdout.items(SignalKind::Traces), 6);
}

#[tokio::test]
async fn an_oversized_item_is_shortened_and_accepted() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    // Noise cannot be compressed.
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (state >> 24) as u8 % 95)
    };
    let name: String = (0..400_000).map(|_| noise()).collect();
    let request = [traces(1), request_of(|span| span.string(5, &name))].concat();
    let answer = call(&mut client, TRACES, &[], &message(0, &request)).await;
    assert_eq!(answer.said, TAKEN);
    assert_eq!(answer.body, message(0, &[]));
    assert_eq!(lambda.stdout.items(SignalKind::Traces), 2);
    // Likewise over HTTP, in JSON.
    let span = json!({"traceId": "03".repeat(16), "spanId": "05".repeat(8), "name": name});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let headers = [("content-type", "application/json")];
    let posted = lambda.otlp("/v1/traces", &headers, body.as_bytes()).await;
    assert_eq!(serde_json::from_slice::<Value>(&posted.body).unwrap(), json!({}));
    assert_eq!(lambda.stdout.items(SignalKind::Traces), 3);
}

#[tokio::test]
async fn invalid_grpc_calls_are_rejected_as_not_retryable() {
    let (lambda, next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    let mut check = async |method: &str, encoding: &str, bytes: &[u8], expected: &str| {
        let answer = call(&mut client, method, &[("grpc-encoding", encoding)], bytes).await;
        assert_eq!(answer.said, format!("200 application/grpc {expected}"));
        answer
    };
    let whole = message(0, &traces(1));
    let bytes = whole.len();
    let length = whole.len() - 5;
    let unreadable = "3 cannot read the request:";
    let cut = format!("{unreadable} the message ends after {} of its {length} bytes", length - 1);
    check(TRACES, "identity", &whole[..bytes - 1], &cut).await;
    let two = format!("{unreadable} {bytes} bytes follow the only message of a call");
    check(TRACES, "identity", &[whole.as_slice(), &whole].concat(), &two).await;
    let none = format!("{unreadable} the call ends before its message");
    check(TRACES, "identity", b"", &none).await;
    check(TRACES, "identity", &whole[..4], &none).await;
    let flag = format!("{unreadable} the flag of the message is 2, neither 0 nor 1");
    check(TRACES, "identity", &message(2, &traces(1)), &flag).await;
    let unsaid = format!("{unreadable} the message is compressed, and no grpc-encoding says how");
    check(TRACES, "identity", &message(1, &traces(1)), &unsaid).await;
    let corrupt = format!("{unreadable} the gzip stream is corrupt");
    check(TRACES, "gzip", &message(1, &traces(1)), &corrupt).await;
    let type_ = "ExportTraceServiceRequest: field 1 has a wire type that OTLP does not give it";
    check(TRACES, "gzip", &message(0, b"\x08\x01"), &format!("{unreadable} {type_}")).await;
    let services = "12 OTLP is received by Export of TraceService, MetricsService and LogsService";
    for method in ["/x", &TRACES.replace("Export", "Import"), &TRACES.replace("trace", "logs")] {
        check(method, "identity", &whole, services).await;
    }
    let encoding = "12 the grpc-encoding is not one of gzip, deflate, zstd, identity";
    let answer = check(TRACES, "snappy", &message(1, b"x"), encoding).await;
    assert_eq!(answer.headers["grpc-accept-encoding"], "gzip, deflate, zstd, identity");
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!(stdout.text(), "");
    assert_eq!(support::counts(&counts), "refused_invalid=12");
}

#[tokio::test]
async fn a_message_declared_too_large_is_rejected_before_its_body() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    let (answer, mut body) = begin(&mut client, TRACES, &[]);
    body.send_data(Bytes::from_static(&[0, 0, 0x80, 0, 1]), false).unwrap();
    let said = read(answer).await.said;
    assert_eq!(said, "200 application/grpc 3 the request is larger than 4194304 bytes");
    // A refused call does not block later ones.
    call(&mut client, TRACES, &[], &message(0, &vec![0; 9 << 20])).await;
    assert_eq!(export(&mut client, 1).await, TAKEN);
}

#[tokio::test]
async fn stalled_calls_do_not_block_other_calls() {
    let (lambda, _next) = Lambda::waiting(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]).await;
    let mut client = connect(lambda.receiver).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let (answer, mut body) = begin(&mut client, TRACES, &[]);
        // It says that it will have three megabytes.
        body.send_data(Bytes::from_static(&[0, 0, 0x30, 0, 0, 10]), false).unwrap();
        silent.push((answer, body));
    }
    assert_eq!(export(&mut client, 3).await, TAKEN);
    assert_eq!(lambda.counts.get(Count::RefusedFull), 0);
}

#[tokio::test]
async fn a_canceled_call_is_written_only_if_its_line_started() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    lambda.stdout.fill(true);
    let mut waiting = Vec::new();
    for spans in 1..=2 {
        let (answer, mut body) = begin(&mut client, TRACES, &[]);
        body.send_data(message(0, &traces(spans)).into(), true).unwrap();
        until(|| lambda.counts.get(Count::Received) == spans && lambda.stdout.waiting() > 0).await;
        waiting.push((answer, body));
    }
    for (_, body) in &mut waiting {
        body.send_reset(h2::Reason::CANCEL);
    }
    // An answer proves that earlier bytes were read.
    assert_eq!(call(&mut client, "/x", &[], b"").await.said.split(' ').nth(2), Some("12"));
    lambda.stdout.fill(false);
    while export(&mut client, 3).await != TAKEN {}
    assert_eq!(lambda.stdout.lines(), [(SignalKind::Traces, 1), (SignalKind::Traces, 3)]);
}

/// Waits until nobody listens on the port. The child of another test has that test's listeners until it executes its program.
async fn wait_until_free(address: SocketAddr) {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    };
    while bind().is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_default_grpc_port_is_open_beside_the_http_port() {
    let _ports = crate::DEFAULT_PORTS.lock().await;
    for port in [4317, 4318] {
        wait_until_free(SocketAddr::from(([127, 0, 0, 1], port))).await;
    }
    let (_lambda, _next) = Lambda::waiting(&[("OTEL_LAMBDA_RECEIVER_PORT", "4318")]).await;
    for port in [4317, 4318] {
        let mut client = connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
        assert_eq!(export(&mut client, 1).await, TAKEN, "{port}");
    }
}

#[tokio::test]
async fn otlp_over_http_is_accepted_on_http_2() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut client = connect(lambda.receiver).await;
    let mut post = async |content_type: &str, bytes: &[u8]| {
        let request = http::Request::post("http://localhost:4318/v1/traces")
            .header("content-type", content_type)
            .body(())
            .unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::copy_from_slice(bytes), true).unwrap();
        read(answer).await.said
    };
    let protobuf = "application/x-protobuf";
    assert_eq!(post(protobuf, &traces(2)).await, format!("200 {protobuf}"));
    assert_eq!(post("application/json", b"{}").await, "200 application/json");
    for content_type in ["application/grpc+json", "application/grpc-web"] {
        assert_eq!(post(content_type, b"").await, format!("415 {protobuf}"));
    }
    let call = post("Application/gRPC+proto; charset=utf-8", b"").await;
    assert!(call.starts_with("200 application/grpc 12 "), "{call}");
    assert_eq!(lambda.stdout.items(SignalKind::Traces), 2);
}

#[tokio::test]
async fn connections_in_use_stay_open_and_the_one_idle_for_longest_is_closed() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut used = connect(lambda.receiver).await;
    let mut idle = Vec::new();
    // Twice as many as may be open.
    for _ in 0..512 {
        let mut client = connect(lambda.receiver).await;
        assert_eq!(export(&mut client, 1).await, TAKEN);
        assert_eq!(export(&mut used, 1).await, TAKEN);
        idle.push(client);
    }
    assert_eq!(export(idle.last_mut().unwrap(), 1).await, TAKEN);
    let closed = async {
        while idle[0].clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, closed).await.expect("it was idle for the longest");
}
