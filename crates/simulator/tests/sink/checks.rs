//! The checks before a body is read.

use bytes::Bytes;
use http::Method;
use lambda_otlp_simulator::sink::{OddityKind, Sink};
use prost::Message;

use super::support::{GZIP, JSON, PROTOBUF, basic, gzip, post, send, sink, span, traces, zlib};

#[tokio::test]
async fn each_request_path_is_routed_or_rejected() {
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
async fn credentials_and_organizations_are_checked() {
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
    // A failing test must not print a secret.
    assert!(!format!("{:?}", closed.requests()).contains(root.strip_prefix("Basic ").unwrap()));
}

#[tokio::test]
async fn content_types_are_checked_for_each_signal() {
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
async fn unsupported_content_encodings_are_rejected() {
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

/// Bytes after the first gzip member are lost silently.
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
async fn a_body_above_the_payload_limit_is_rejected() {
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
async fn undecodable_bodies_are_rejected() {
    let sink = sink().start().await.unwrap();
    let check =
        async |path: &str, header: (&str, &str), body: &'static [u8], status: u16, start: &str| {
            let answered = post(&sink, path, &[header], body).await;
            assert_eq!(answered.status, status, "{path}");
            assert!(answered.text().starts_with(start), "{path}: {}", answered.text());
        };
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
        check(path, PROTOBUF, b"", 200, "").await;
        check(path, JSON, b"", 200, "").await;
        check(path, PROTOBUF, b"\xff\xff", 400, r#"{"code":400,"message":"Invalid proto: "#).await;
        check(path, JSON, b"{", 400, r#"{"code":400,"message":"Invalid json: "#).await;
    }
    assert_eq!(sink.counts().stored(), 0);
}
