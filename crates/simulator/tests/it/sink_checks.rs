//! The checks before a body is read.

use lambda_otlp_simulator::sink::OddityKind;
use prost::Message;

use super::requests::{GZIP, JSON, PROTOBUF, basic, gzip, post, sink, span, traces};

#[tokio::test]
async fn invalid_requests_are_rejected() {
    let sink = sink().user("root@example.com", "pass").member("dev@example.com", "word");
    let sink = sink.start().await.unwrap();
    let (root, member) = (basic("root@example.com", "pass"), basic("dev@example.com", "word"));
    let (root, member) = (("authorization", root.as_str()), ("authorization", member.as_str()));
    let body = traces(vec![span("a")]).encode_to_vec();
    let check =
        async |path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, text: &str| {
            let answered = post(&sink, path, headers, body.to_vec()).await;
            let is_expected = answered.status == status && answered.text().starts_with(text);
            assert!(is_expected, "{path} {headers:?}: {} {}", answered.status, answered.text());
        };
    check("/api/other/v1/traces", &[PROTOBUF, root], &body, 200, "").await;
    check("/api/other/v1/traces", &[PROTOBUF, member], &body, 404, "Organization not found").await;
    check("/api/default/v1/profiles", &[PROTOBUF, root], &body, 404, "").await;
    let unauthorized = r#"{"code":401,"message":"Unauthorized Access"}"#;
    check("/v1/traces", &[PROTOBUF], &body, 401, unauthorized).await;
    let (wrong, bearer) = (("authorization", "Basic !"), ("authorization", "Bearer abc"));
    check("/v1/traces", &[PROTOBUF, wrong], &body, 401, "Unauthorized Access").await;
    check("/v1/traces", &[PROTOBUF, bearer], &body, 401, "Not Supported").await;

    let (other, charset) = ("application/protobuf", "application/json; charset=utf-8");
    let (other, charset) = (("content-type", other), ("content-type", charset));
    let bad_request = r#"{"code":400,"message":"Bad Request"}"#;
    check("/v1/traces", &[other, root], &body, 400, bad_request).await;
    check("/v1/traces", &[charset, root], b"{}", 200, "").await;
    check("/v1/logs", &[charset, root], b"{}", 400, bad_request).await;
    // A wrong encoding is 415 without any authorization.
    check("/v1/traces", &[PROTOBUF, ("content-encoding", "zstd")], &body, 415, "").await;
    let cut = "Failed to buffer the request body: unexpected end of file";
    check("/v1/traces", &[PROTOBUF, GZIP, root], &gzip(&body)[..20], 400, cut).await;
    let invalid = r#"{"code":400,"message":"Invalid "#;
    check("/v1/logs", &[PROTOBUF, root], b"\xff\xff", 400, &format!("{invalid}proto: ")).await;
    check("/v1/logs", &[JSON, root], b"{", 400, &format!("{invalid}json: ")).await;

    assert_eq!(sink.counts().spans, 1);
    // A failing test must not print a secret.
    assert!(!format!("{:?}", sink.requests()).contains(root.1.strip_prefix("Basic ").unwrap()));
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
