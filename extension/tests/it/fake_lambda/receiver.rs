//! OTLP over HTTP: accepted and refused requests, and their answers.

use crate::fake_lambda::support::{self, Lambda, MINUTE, Posted, logged, read, request_of, traces};
use lambda_otlp_extension::Count;
use serde_json::json;
use std::io::Write as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::{SignalKind, gzip};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

/// Status, content type and text of an answer.
fn said(posted: &Posted) -> String {
    let content_type = posted.headers["content-type"].to_str().unwrap();
    let text = String::from_utf8_lossy(&posted.body).replace(|c: char| c.is_control(), "·");
    format!("{} {content_type} {text}", posted.status).trim_end().to_owned()
}

#[tokio::test]
async fn json_of_another_signal_is_rejected_with_its_path() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let logs =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
    let posted = lambda.otlp("/v1/traces", &[JSON], logs.as_bytes()).await;
    assert_eq!(posted.status, 400);
    assert!(said(&posted).contains("the body holds logs, which are received at /v1/logs"));
    assert_eq!(lambda.otlp("/v1/logs", &[JSON], logs.as_bytes()).await.status, 200);
    assert_eq!(lambda.otlp("/v1/traces", &[JSON], b"{}").await.status, 200, "nothing is nothing");
    assert_eq!(lambda.stdout.lines(), [(SignalKind::Logs, 1)]);
}

#[tokio::test]
async fn json_requests_are_accepted_and_answered_in_json() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let id = "0102030405060708";
    let span = json!({
        "traceId": format!("{id}{id}"),
        "spanId": id,
        "name": "handler",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": 2,
    });
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let json = ("content-type", "application/json; charset=utf-8");
    let posted = lambda.otlp("/v1/traces", &[json], body.as_bytes()).await;
    assert_eq!(said(&posted), "200 application/json {}");
    let compressed = gzip::compress(6, body.as_bytes());
    let posted_gzip = lambda.otlp("/v1/traces/", &[json, GZIP], &compressed).await;
    assert_eq!(said(&posted_gzip), "200 application/json {}");
    assert_eq!(lambda.stdout.items(SignalKind::Traces), 2);
    // The service of a request without one is the function.
    let has_service = |line| read(line).bytes().windows(6).any(|part| part == b"orders");
    assert!(lambda.stdout.text().lines().all(has_service));
}

#[tokio::test]
async fn a_refusal_uses_the_content_type_of_the_request() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let text = "OTLP is received at /v1/traces, /v1/metrics and /v1/logs";
    let posted = lambda.otlp("/v1/profiles", &[PROTOBUF], b"").await;
    assert_eq!(said(&posted), format!("404 application/x-protobuf ···8{text}"));
    let in_json = lambda.otlp("/", &[JSON], b"{}").await;
    let json = format!("{{\"code\":5,\"message\":\"{text}\"}}");
    assert_eq!(said(&in_json), format!("404 application/json {json}"));
    for path in ["/health", "/invocation/complete"] {
        assert_eq!(lambda.otlp(path, &[], b"").await.status, 200);
    }
}

#[tokio::test]
async fn invalid_otlp_requests_are_rejected_and_not_written() {
    let (lambda, next) = Lambda::waiting(&[]).await;
    let whole = traces(3);
    let cut = &whole[..whole.len() - 1];
    let large = vec![0; 17 << 20];
    let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], expected: u16| {
        let posted = lambda.otlp(path, headers, body).await;
        assert_eq!(posted.status, expected, "{path} {headers:?}: {}", said(&posted));
    };
    check("/v1/traces", &[("content-type", "text/plain")], b"", 415).await;
    check("/v1/traces", &[], b"", 415).await;
    // gRPC needs HTTP/2.
    check("/v1/traces", &[("content-type", "application/grpc")], b"", 415).await;
    check("/v1/traces", &[JSON, ("content-encoding", "br")], b"", 415).await;
    check("/v1/traces", &[PROTOBUF], cut, 400).await;
    check("/v1/logs", &[PROTOBUF], &whole, 400).await;
    check("/v1/traces", &[JSON], b"nonsense", 400).await;
    check("/v1/traces", &[JSON], &large, 413).await;
    let wrong_method = raw(&lambda, b"GET /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(wrong_method.starts_with("HTTP/1.1 405 ") && wrong_method.contains("\nAllow: POST\r"));
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!(stdout.text(), "");
    assert_eq!(support::counts(&counts), "refused_invalid=9");
}

#[tokio::test]
async fn the_first_refusal_that_an_sdk_does_not_retry_is_logged() {
    let (lines, _log) = logged();
    let lambda = Lambda::start(&[]).await;
    for _ in 0..2 {
        assert_eq!(lambda.otlp("/v1/traces", &[JSON], b"[]").await.status, 400);
    }
    let lines = lines.lock().unwrap();
    let refused = lines.iter().filter(|line| line.contains("refused"));
    assert_eq!(
        refused.collect::<Vec<_>>(),
        [
            "message=an OTLP request was refused; further ones are only counted reason=cannot read the request: not a JSON object"
        ]
    );
}

#[tokio::test]
async fn invalid_utf8_is_replaced_instead_of_rejecting_the_request() {
    let lambda = Lambda::start(&[]).await;
    let text = "query".as_bytes();
    let at = traces(1).windows(text.len()).position(|part| part == text).unwrap();
    let mut body = [traces(1), traces(1)].concat();
    // JavaScript's half of an emoji.
    body[at + 2..at + 5].copy_from_slice(b"\xed\xa0\xbd");
    let posted = lambda.protobuf(SignalKind::Traces, &body).await;
    assert_eq!(said(&posted), "200 application/x-protobuf");
    let names: Vec<String> = lambda.stdout.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["qu\u{fffd}\u{fffd}\u{fffd}", "query"]);
    body.pop();
    assert_eq!(lambda.protobuf(SignalKind::Traces, &body).await.status, 400);
}

#[tokio::test]
async fn a_full_pipe_refuses_requests_and_drops_lines_not_started() {
    let (lambda, next) = Lambda::waiting(&[]).await;
    lambda.stdout.fill(true);
    let begun = lambda.protobuf(SignalKind::Traces, &traces(1)).await;
    assert_eq!((begun.status, begun.headers["retry-after"].to_str().unwrap()), (503, "0"));
    let after = lambda.protobuf(SignalKind::Traces, &traces(2)).await;
    assert_eq!(after.status, 503);
    lambda.stdout.fill(false);
    // Until the write that was stuck is over everything is refused at once.
    while lambda.protobuf(SignalKind::Traces, &traces(2)).await.status != 200 {}
    let (stdout, counts) = lambda.end(next).await;
    assert_eq!(stdout.lines(), [(SignalKind::Traces, 1), (SignalKind::Traces, 2)]);
    assert!(counts.get(Count::RefusedFull) >= 2);
}

#[tokio::test]
async fn the_inflated_size_of_concurrent_requests_is_bounded() {
    let (lambda, _next) = Lambda::waiting(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]).await;
    lambda.stdout.fill(true);
    // Of 8 MiB there is room for two of these, however small they come.
    let large = request_of(|span| span.string(5, &"x".repeat(3 << 20)));
    let body = gzip::compress(6, &large);
    let headers = [PROTOBUF, GZIP];
    let post = || async { lambda.otlp("/v1/traces", &headers, &body).await.status };
    assert_eq!(<[u16; 3]>::from(tokio::join!(post(), post(), post())), [503; 3]);
    assert_eq!(lambda.counts.get(Count::Received), 2);
    lambda.stdout.fill(false);
}

/// Sends a request in chunks without a length, like Node's SDK.
fn chunked(body: &[u8]) -> Vec<u8> {
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut request = head.as_bytes().to_vec();
    for piece in body.chunks(60_000) {
        request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// Returns the answer to these bytes.
async fn raw(lambda: &Lambda, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(lambda.receiver).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut received = vec![0; 1000];
    let bytes = connection.read(&mut received).await.unwrap();
    String::from_utf8_lossy(&received[..bytes]).into_owned()
}

#[tokio::test]
async fn stalled_clients_do_not_block_other_requests() {
    let (lambda, _next) = Lambda::waiting(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]).await;
    let request = chunked(&traces(3));
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut connection = TcpStream::connect(lambda.receiver).await.unwrap();
        connection.write_all(&request[..request.len() - 10]).await.unwrap();
        silent.push(connection);
    }
    assert!(raw(&lambda, &request).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(lambda.counts.get(Count::RefusedFull), 0);
}

#[tokio::test]
async fn a_refused_body_is_drained_before_the_next_request() {
    const MAX_DRAINED: usize = 64 << 20;
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let next = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let of_bytes = |bytes| format!("Content-Length: {bytes}\r\n\r\n{}", " ".repeat(bytes));
    let chunk = format!("100000\r\n{}\r\n0\r\n\r\n", " ".repeat(1 << 20));
    for (body, next, expected) in [
        (of_bytes(1 << 20), next, &["415", "404"][..]),
        (format!("Transfer-Encoding: chunked\r\n\r\n{chunk}"), next, &["415", "404"]),
        (of_bytes(MAX_DRAINED + 1), "", &["415"]),
    ] {
        let mut connection = TcpStream::connect(lambda.receiver).await.unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n";
        let requests = [head, &body, next].concat();
        connection.write_all(requests.as_bytes()).await.unwrap();
        let mut received = String::new();
        connection.read_to_string(&mut received).await.unwrap();
        let answers = received.split("HTTP/1.1 ").skip(1);
        let statuses: Vec<&str> = answers.map(|answer| answer.get(..3).unwrap()).collect();
        assert_eq!(statuses, expected, "{received}");
    }
}

#[tokio::test]
async fn a_stalled_body_closes_the_connection_without_a_response() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let mut connection = TcpStream::connect(lambda.receiver).await.unwrap();
    let request = chunked(&traces(3));
    connection.write_all(&request[..request.len() - 10]).await.unwrap();
    tokio::time::pause();
    let mut received = Vec::new();
    // It ends without an answer: who sent half a request knows that it did.
    let ending = connection.read_to_end(&mut received);
    let ended = tokio::time::timeout(MINUTE, ending).await;
    tokio::time::resume();
    assert!(ended.is_ok(), "it is not waited for");
    assert_eq!(received, b"");
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

type Compress = fn(&[u8]) -> Vec<u8>;

#[tokio::test]
async fn a_body_is_inflated_by_its_content_encoding_within_limits() {
    let (lambda, _next) = Lambda::waiting(&[]).await;
    let whole = traces(3);
    let bomb = vec![0; 17 << 20];
    let codings: [(&str, Compress); _] =
        [("gzip", |content| gzip::compress(6, content)), ("deflate", deflate), ("zstd", zstd)];
    for (coding, compress) in codings {
        let headers = [PROTOBUF, ("content-encoding", coding)];
        let check = async |body: &[u8], expected: u16| {
            let posted = lambda.otlp("/v1/traces", &headers, body).await;
            assert_eq!(posted.status, expected, "{coding}: {}", said(&posted));
        };
        let items = lambda.stdout.items(SignalKind::Traces);
        let compressed = compress(&whole);
        let bomb = compress(&bomb);
        assert!(bomb.len() < 1 << 20, "{coding}: {}", bomb.len());
        check(&compressed, 200).await;
        check(&bomb, 413).await;
        check(&compressed[..compressed.len() / 2], 400).await;
        check(&whole, 400).await;
        assert_eq!(lambda.stdout.items(SignalKind::Traces), items + 3, "{coding}");
    }
    let body = gzip::compress(6, &whole);
    for (coding, status) in
        [("gzip, identity", 200), ("identity,GZIP", 200), ("gzip, gzip", 415), ("gzip, br", 415)]
    {
        let headers = [PROTOBUF, ("content-encoding", coding)];
        assert_eq!(lambda.otlp("/v1/traces", &headers, &body).await.status, status, "{coding}");
    }
}
