//! The sink answers as OpenObserve was measured to answer: a table of request and answer for every quirk.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use lambda_otlp_simulator::sink::{Answer, Builder, Faults, OddityKind, Signal, Sink};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::net::TcpStream;

/// The sink's clock in these tests: 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const MINUTE: u64 = 60_000_000_000;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn sink() -> Builder {
    Sink::builder().clock(|| NOW)
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answered {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// One request on a connection of its own; `None` where the connection ends without a whole answer.
async fn send(
    sink: &Sink,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Option<Answered> {
    let stream = TcpStream::connect(sink.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(body.into())).unwrap()).await.ok()?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Answered { status: parts.status.as_u16(), headers: parts.headers, body })
}

async fn post(
    sink: &Sink,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answered {
    send(sink, Method::POST, path, headers, body).await.expect("a whole answer")
}

fn attribute(key: &str, value: &str) -> KeyValue {
    any(key, Value::StringValue(value.to_owned()))
}

fn any(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn resource(service: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![attribute("service.name", service)], ..Resource::default() })
}

fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 1,
        ..Span::default()
    }
}

fn resource_spans(resource: Option<Resource>, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource,
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: vec![resource_spans(resource("shop"), spans)] }
}

fn record() -> LogRecord {
    LogRecord { time_unix_nano: NOW, severity_text: "INFO".to_owned(), ..LogRecord::default() }
}

fn logs(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource("shop"),
            scope_logs,
            ..ResourceLogs::default()
        }],
    }
}

fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource("shop"),
            scope_metrics,
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(data: Data) -> Metric {
    Metric { name: "faas.invoke-duration".to_owned(), data: Some(data), ..Metric::default() }
}

fn point(value: f64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: NOW,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn gauge(data_points: Vec<NumberDataPoint>) -> Metric {
    metric(Data::Gauge(Gauge { data_points }))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

#[tokio::test]
async fn paths() {
    let sink = sink().start().await.unwrap();
    let body = Bytes::from(traces(vec![span("a")]).encode_to_vec());
    let check = async |method: Method, path: &str, status: u16, text: &str| {
        let body = if path.contains("traces") { body.clone() } else { Bytes::new() };
        let answered = send(&sink, method, path, &[PROTOBUF], body).await.unwrap();
        assert_eq!((answered.status, answered.text()), (status, text), "{path}");
    };
    check(Method::POST, "/api/default/v1/traces", 200, "").await;
    check(Method::POST, "/api/default/v1/logs", 200, "").await;
    check(Method::POST, "/api/default/v1/metrics", 200, "").await;
    check(Method::POST, "/api/default/traces", 200, "").await;
    check(Method::POST, "/api/default/otel/v1/traces", 200, "").await;
    check(Method::POST, "/v1/traces", 200, "").await;
    check(Method::POST, "/v1/traces?x=1", 200, "").await;
    check(Method::POST, "/api/default/v1/traces/", 404, "Organization not found").await;
    check(Method::POST, "/api/default/v1/profiles", 404, "").await;
    check(Method::POST, "/v1/nothing", 404, "").await;
    check(Method::POST, "/", 404, "").await;
    check(Method::GET, "/api/default/v1/traces", 405, "").await;
    check(Method::PUT, "/v1/logs", 405, "").await;
    check(Method::GET, "/healthz", 200, r#"{"status":"ok"}"#).await;
    assert_eq!(sink.requests()[0].path, "/api/default/v1/traces");
    assert_eq!(sink.requests()[6].path, "/v1/traces?x=1");
    assert_eq!(sink.counts().spans, 5);
}

#[tokio::test]
async fn authorization_and_organizations() {
    let open = sink().start().await.unwrap();
    let closed = sink()
        .user("root@example.com", "pass")
        .member("dev@example.com", "word")
        .start()
        .await
        .unwrap();
    let strict = sink()
        .organization("acme")
        .strict_organizations()
        .user("root@example.com", "pass")
        .start()
        .await
        .unwrap();
    let check = async |sink: &Sink,
                       path: &str,
                       authorization: Option<&str>,
                       status: u16,
                       text: &str| {
        let mut headers = vec![PROTOBUF];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let answered = post(sink, path, &headers, traces(vec![span("a")]).encode_to_vec()).await;
        assert_eq!((answered.status, answered.text()), (status, text), "{path} {authorization:?}");
        answered
    };
    let (root, member) = (basic("root@example.com", "pass"), basic("dev@example.com", "word"));
    let wrong = basic("root@example.com", "word");
    check(&open, "/api/default/v1/traces", None, 200, "").await;
    check(&open, "/api/other/v1/traces", None, 200, "").await;
    let answered =
        check(&closed, "/v1/traces", None, 401, r#"{"code":401,"message":"Unauthorized Access"}"#)
            .await;
    assert_eq!(answered.header("www-authenticate"), None);
    let answered = check(&closed, "/v1/traces", Some(&wrong), 401, "Unauthorized Access").await;
    assert_eq!(answered.header("www-authenticate"), Some("Bearer realm=\"openobserve\""));
    check(&closed, "/v1/traces", Some("Basic !"), 401, "Unauthorized Access").await;
    check(&closed, "/v1/traces", Some("Bearer abc"), 401, "Not Supported").await;
    check(&closed, "/api/default/v1/traces", Some(&root), 200, "").await;
    check(&closed, "/api/default/v1/traces", Some(&member), 200, "").await;
    check(&closed, "/api/other/v1/traces", Some(&root), 200, "").await;
    check(&closed, "/api/other/v1/traces", Some(&member), 404, "Organization not found").await;
    check(&strict, "/api/acme/v1/traces", Some(&root), 200, "").await;
    check(&strict, "/api/default/v1/traces", Some(&root), 404, "Organization not found").await;
    assert!(strict.base().ends_with("/api/acme"));
    assert_eq!(closed.counts().spans, 3);
    assert_eq!(closed.spans()[2].organization, "other");
    // No secret in what a failing test prints.
    assert!(!format!("{:?}", closed.requests()).contains(root.strip_prefix("Basic ").unwrap()));
}

#[tokio::test]
async fn content_types() {
    let sink = sink().start().await.unwrap();
    let check = async |signal: &str, content_type: Option<&str>, status: u16| {
        let body =
            if content_type.is_some_and(|value| value.contains("/json")) { "{}" } else { "" };
        let headers: Vec<_> =
            content_type.map(|value| ("content-type", value)).into_iter().collect();
        let answered = post(&sink, &format!("/api/default/v1/{signal}"), &headers, body).await;
        assert_eq!(answered.status, status, "{signal} {content_type:?}");
        if status == 400 {
            assert_eq!(answered.text(), r#"{"code":400,"message":"Bad Request"}"#);
        }
    };
    for signal in ["traces", "metrics", "logs"] {
        check(signal, Some("application/x-protobuf"), 200).await;
        check(signal, Some("application/json"), 200).await;
        check(signal, Some("application/protobuf"), 400).await;
        check(signal, Some("application/x-protobuf; v=1"), 400).await;
        check(signal, Some("application/x-ndjson"), 400).await;
        check(signal, None, 400).await;
    }
    check("traces", Some("application/json; charset=utf-8"), 200).await;
    check("metrics", Some("application/json; charset=utf-8"), 200).await;
    check("logs", Some("application/json; charset=utf-8"), 400).await;
}

#[tokio::test]
async fn content_encodings() {
    let sink = sink().user("root@example.com", "pass").start().await.unwrap();
    let root = basic("root@example.com", "pass");
    let plain = traces(vec![span("a"), span("b")]).encode_to_vec();
    let check = async |encoding: Option<&str>, body: Vec<u8>, status: u16, text: &str| {
        let mut headers = vec![PROTOBUF, ("authorization", &root)];
        headers.extend(encoding.map(|value| ("content-encoding", value)));
        let encoded_len = body.len();
        let answered = post(&sink, "/v1/traces", &headers, body).await;
        assert_eq!((answered.status, answered.text()), (status, text), "{encoding:?}");
        let received = sink.requests().pop().unwrap();
        assert_eq!(received.encoded_len, encoded_len);
        assert_eq!(received.body, if status == 200 { plain.clone() } else { Vec::new() });
    };
    check(None, plain.clone(), 200, "").await;
    check(Some("identity"), plain.clone(), 200, "").await;
    check(Some("gzip"), gzip(&plain), 200, "").await;
    check(Some("deflate"), zlib(&plain), 200, "").await;
    check(Some("GZIP"), gzip(&plain), 415, "").await;
    check(Some("x-gzip"), gzip(&plain), 415, "").await;
    check(Some("zstd"), plain.clone(), 415, "").await;
    let truncated = gzip(&plain)[..plain.len() / 2].to_vec();
    check(
        Some("gzip"),
        truncated,
        400,
        "Failed to buffer the request body: unexpected end of file",
    )
    .await;
    assert_eq!(sink.counts().spans, 8);
    assert_eq!(sink.oddities(), []);
    // Checked before authorization: a wrong encoding is 415 without any.
    let answered =
        post(&sink, "/v1/traces", &[PROTOBUF, ("content-encoding", "zstd")], plain.clone()).await;
    assert_eq!(answered.status, 415);
    let answered = post(&sink, "/v1/traces", &[PROTOBUF, GZIP], gzip(&plain)).await;
    assert_eq!(answered.status, 401);
}

/// What comes after the first gzip member is lost without a word.
#[tokio::test]
async fn gzip_members_after_the_first_are_lost() {
    let sink = sink().start().await.unwrap();
    let one = gzip(&traces(vec![span("a")]).encode_to_vec());
    let answered = post(&sink, "/v1/traces", &[PROTOBUF, GZIP], one.repeat(3)).await;
    assert_eq!((answered.status, answered.text()), (200, ""));
    assert_eq!(sink.counts().spans, 1);
    assert_eq!(sink.oddities()[0].kind, OddityKind::BytesAfterGzip);
    let mut much = one.clone();
    much.resize(one.len() + 1024 * 1024 + 1, 0);
    let answered = post(&sink, "/v1/traces", &[PROTOBUF, GZIP], much).await;
    assert_eq!(answered.status, 400);
    assert!(answered.text().contains("there are extra bytes after body has been decompressed"));
}

#[tokio::test]
async fn sizes() {
    let body = traces(vec![span("a")]).encode_to_vec();
    let check = async |limit: usize, headers: &[(&str, &str)], body: Vec<u8>, status: u16| {
        let sink = sink().payload_limit(limit).start().await.unwrap();
        let answered = post(&sink, "/v1/traces", headers, body).await;
        assert_eq!(answered.status, status);
        if status == 413 {
            assert_eq!(answered.text(), "Failed to buffer the request body: length limit exceeded");
        }
    };
    check(body.len(), &[PROTOBUF], body.clone(), 200).await;
    check(body.len() - 1, &[PROTOBUF], body.clone(), 413).await;
    check(body.len(), &[PROTOBUF, GZIP], gzip(&body), 200).await;
    check(body.len() - 1, &[PROTOBUF, GZIP], gzip(&body), 413).await;
    // A bomb: 64 MiB from 64 KiB.
    check(1024, &[PROTOBUF, GZIP], gzip(&vec![0; 64 * 1024 * 1024]), 413).await;
    // Larger than the sink reads at all.
    check(1024, &[PROTOBUF], vec![0; 4 * 1024 * 1024], 413).await;
}

#[tokio::test]
async fn bodies_that_do_not_decode() {
    let sink = sink().start().await.unwrap();
    let check =
        async |path: &str, header: (&str, &str), body: &'static [u8], status: u16, start: &str| {
            let answered = post(&sink, path, &[header], body).await;
            assert_eq!(answered.status, status, "{path}");
            assert!(answered.text().starts_with(start), "{path}: {}", answered.text());
        };
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
        check(path, PROTOBUF, b"", 200, "").await;
        check(path, PROTOBUF, b"\xff\xff", 400, r#"{"code":400,"message":"Invalid proto: "#).await;
        check(path, JSON, b"{", 400, r#"{"code":400,"message":"Invalid json: "#).await;
    }
    assert_eq!(sink.counts().stored(), 0);
}

#[tokio::test]
async fn streams() {
    let sink = sink().start().await.unwrap();
    let check = async |name: Option<&str>, stream: &str| {
        let mut headers = vec![PROTOBUF];
        headers.extend(name.map(|value| ("stream-name", value)));
        for (path, body) in [
            ("/v1/traces", traces(vec![span("a")]).encode_to_vec()),
            ("/v1/logs", logs(vec![record()]).encode_to_vec()),
            ("/v1/metrics", metrics(vec![gauge(vec![point(1.0)])]).encode_to_vec()),
        ] {
            assert_eq!(post(&sink, path, &headers, body).await.status, 200);
        }
        assert_eq!(sink.spans().last().unwrap().stream, stream);
        assert_eq!(sink.log_records().last().unwrap().stream, stream);
        // One stream for each metric name, whatever the header says.
        assert_eq!(sink.metrics().last().unwrap().stream, "faas_invoke_duration");
    };
    check(None, "default").await;
    check(Some(""), "default").await;
    check(Some("Shop:eu"), "shop:eu").await;
    check(Some("/aws/lambda/My-Fn.Name"), "_aws_lambda_my_fn_name").await;
    check(Some("a--b  c"), "a_b_c").await;
}

fn partial(answered: &Answered) -> (i64, String) {
    assert_eq!((answered.status, answered.header("content-type")), (200, Some(PROTOBUF.1)));
    // The three responses have the same fields.
    let response = ExportLogsServiceResponse::decode(answered.body.clone()).unwrap();
    response
        .partial_success
        .map_or((0, String::new()), |partial| (partial.rejected_log_records, partial.error_message))
}

#[tokio::test]
async fn window_of_logs() {
    let sink = sink().start().await.unwrap();
    let check = async |times: &[(u64, u64)], rejected: i64, message: &str| {
        let records = times.iter().map(|(time, observed)| LogRecord {
            time_unix_nano: *time,
            observed_time_unix_nano: *observed,
            ..record()
        });
        let answered =
            post(&sink, "/v1/logs", &[PROTOBUF], logs(records.collect()).encode_to_vec()).await;
        let (count, text) = partial(&answered);
        assert_eq!((count, text.starts_with(message)), (rejected, true), "{times:?}: {text}");
    };
    let (old, far) =
        ("Too old data, only last 5 hours data", "Too far data, only future 24 hours data");
    check(&[(NOW, 0), (NOW - 5 * HOUR + MINUTE, 0), (NOW + 24 * HOUR, 0)], 0, "").await;
    check(&[(NOW, 0), (NOW - 5 * HOUR - 1000, 0), (NOW - 6 * HOUR, 0)], 2, old).await;
    check(&[(NOW + 24 * HOUR + 1000, 0)], 1, far).await;
    // The text is that of the last rejected record.
    check(&[(NOW + 48 * HOUR, 0), (NOW - 6 * HOUR, 0), (NOW, 0)], 2, old).await;
    check(&[(NOW - 6 * HOUR, 0), (NOW + 48 * HOUR, 0)], 2, far).await;
    // Without time the observed time counts, without both the record is too old.
    check(&[(0, NOW)], 0, "").await;
    check(&[(0, 0)], 1, old).await;
    assert_eq!((sink.counts().log_records, sink.counts().rejected), (6, 8));
    assert_eq!(
        (sink.requests()[1].items, sink.requests()[1].stored, sink.requests()[1].rejected),
        (3, 1, 2)
    );
}

#[tokio::test]
async fn spans_that_are_rejected() {
    let sink = sink().start().await.unwrap();
    let check = async |change: fn(&mut Span), rejected: i64| {
        let mut odd = span("odd");
        change(&mut odd);
        let answered =
            post(&sink, "/v1/traces", &[PROTOBUF], traces(vec![span("a"), odd]).encode_to_vec())
                .await;
        let text = "Some spans were rejected due to exceeding the allowed retention period";
        assert_eq!(
            partial(&answered),
            (rejected, if rejected > 0 { text.to_owned() } else { String::new() })
        );
    };
    check(|span| span.start_time_unix_nano = NOW - 5 * HOUR - 1000, 1).await;
    check(|span| span.start_time_unix_nano = NOW + 25 * HOUR, 1).await;
    check(|span| span.start_time_unix_nano = NOW - 5 * HOUR + MINUTE, 0).await;
    // Not for its age, though the text says so.
    check(|span| span.trace_id = vec![1; 8], 1).await;
    check(|span| span.span_id = Vec::new(), 1).await;
    assert_eq!(sink.oddities(), []);
    assert_eq!((sink.counts().spans, sink.counts().rejected), (6, 4));
}

#[tokio::test]
async fn window_can_be_wider_and_metrics_have_none() {
    let wide = sink().no_window().start().await.unwrap();
    let body = logs(vec![LogRecord { time_unix_nano: 1, ..record() }]).encode_to_vec();
    assert_eq!(partial(&post(&wide, "/v1/logs", &[PROTOBUF], body).await).0, 0);
    let usual = sink().window(Duration::from_hours(48), Duration::ZERO).start().await.unwrap();
    let body =
        logs(vec![LogRecord { time_unix_nano: NOW - 49 * HOUR, ..record() }]).encode_to_vec();
    let (rejected, text) = partial(&post(&usual, "/v1/logs", &[PROTOBUF], body).await);
    assert!(rejected == 1 && text.contains("only last 48 hours"), "{text}");
    let points = vec![NumberDataPoint { time_unix_nano: NOW - 480 * HOUR, ..point(1.0) }];
    let body = metrics(vec![gauge(points)]).encode_to_vec();
    assert_eq!(partial(&post(&usual, "/v1/metrics", &[PROTOBUF], body).await).0, 0);
    assert_eq!(usual.counts().data_points, 1);
}
