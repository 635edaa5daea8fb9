//! The command line of the extension's binary.

use crate::fake_lambda::connections::trusted;
use std::process::{Output, Stdio};
use test_support::openobserve::grpc::GrpcFront;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::secrets::{SecretAnswer, SecretServer};
use test_support::tls::{Authority, TlsFront};
use tokio::net::TcpListener;
use tokio::process::Command;

/// The binary with these arguments and no other variables than these.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lambda-otlp-extension"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

#[tokio::test]
async fn the_command_prints_its_version_and_help() {
    let version = concat!("lambda-otlp-extension ", env!("CARGO_PKG_VERSION"), "\n");
    for argument in ["--version", "-v"] {
        assert_eq!(run(&[argument], &[]).await, (0, version.to_owned()));
    }
    let (code, help) = run(&["--help"], &[]).await;
    assert_eq!(code, 0);
    assert!(help.contains("--health-check, -h") && help.contains("--version, -v"), "{help}");
    let (code, text) = run(&["--helth-check"], &[]).await;
    assert_eq!(code, 2);
    assert!(text.starts_with("unknown argument \"--helth-check\"\n") && text.ends_with(&help));
}

#[tokio::test]
async fn without_an_endpoint_the_health_check_tests_only_settings() {
    let (code, text) = run(&["--health-check"], &[("LAMBDA_OTLP_LINE", "compact")]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(
        "ok      settings      all variables are valid\nok      output        stdout"
    ));
    let (code, text) = run(&["-h"], &[("LAMBDA_OTLP_LINE", "tiny")]).await;
    assert_eq!(code, 1);
    assert!(text.starts_with("failed  settings      LAMBDA_OTLP_LINE: "), "{text}");
}

/// `root@example.com:pass`
const GOOD: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpwYXNz";
/// `root@example.com:hunter2`
const WRONG: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy";

async fn started_backend() -> FakeOpenObserve {
    FakeOpenObserve::builder().user("root@example.com", "pass").start().await.unwrap()
}

/// Checks the health with these variables. The statuses of all lines are these, and each part is in a line, which contain no
/// credentials.
async fn check(variables: &[(&str, &str)], statuses: &str, parts: &[&str]) -> String {
    let (code, text) = run(&["--health-check"], variables).await;
    let found: Vec<&str> =
        text.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(found.join(" "), statuses, "{text}");
    assert_eq!(code, i32::from(statuses.contains("failed")), "{text}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(text.lines().any(|line| words(line).contains(part)), "{part}\n{text}");
    }
    for secret in ["hunter2", "pass\n", "cm9vdEBleGFtcGxlLmNvb"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

/// Checks the health with OTLP to this endpoint, and more variables.
async fn check_otlp(
    endpoint: &str,
    authorization: &str,
    more: &[(&str, &str)],
    statuses: &str,
    parts: &[&str],
) {
    let headers = format!("authorization={authorization}");
    let otlp = [
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_ENDPOINT", endpoint),
        ("LAMBDA_OTLP_HEADERS", &headers),
    ];
    check(&[&otlp[..], more].concat(), statuses, parts).await;
}

const ALL_OK: &str = "ok ok ok ok ok ok";
const NO_CONNECTION: &str = "ok ok ok failed skipped skipped";
const NO_CREDENTIALS: &str = "ok ok ok ok failed skipped";
const NO_RECORD: &str = "ok ok ok ok ok failed";

#[tokio::test]
async fn the_health_check_sends_a_record_to_the_backend() {
    let backend = started_backend().await;
    let parts = [
        "settings all variables are valid",
        "output otlp, since LAMBDA_OTLP_OUTPUT is set",
        "endpoint 127.0.0.1 is an address",
        "connection HTTP 200",
        "credentials accepted",
        "record accepted: a log record whose trace_id is ca",
    ];
    check_otlp(backend.base(), GOOD, &[], ALL_OK, &parts).await;
    let counts = backend.counts();
    assert_eq!((counts.log_records, counts.stored()), (1, 1));
    // Answers that are not the backend's usual ones.
    let reply =
        |status, body: Vec<u8>| ScriptedResponse::Response { status, headers: Vec::new(), body };
    let full = reply(503, format!("{{\"message\":\"the disk is full, {GOOD}\"}}").into());
    let parts = ["record answered 503 Service Unavailable", "the disk is full"];
    backend.script([ScriptedResponse::Ok, ScriptedResponse::Ok, ScriptedResponse::Ok, full]);
    check_otlp(backend.base(), GOOD, &[], NO_RECORD, &parts).await;
    // `partial_success` without rejected items.
    let old = reply(200, b"\x0a\x05\x12\x03old".to_vec());
    backend.script([ScriptedResponse::Ok, ScriptedResponse::Ok, ScriptedResponse::Ok, old]);
    let statuses = "ok ok ok ok ok warning";
    check_otlp(backend.base(), GOOD, &[], statuses, &["record accepted: old"]).await;
}

#[tokio::test]
async fn with_o2_variables_the_record_goes_to_the_json_stream() {
    let backend = started_backend().await;
    let with = |authorization| {
        [
            ("O2_ENDPOINT", backend.url()),
            ("O2_ORGANIZATION_ID", "default"),
            ("O2_AUTHORIZATION_HEADER", authorization),
            ("O2_STREAM", "orders"),
        ]
    };
    let text = check(&with(GOOD), ALL_OK, &["output json, since O2_ORGANIZATION_ID is set"]).await;
    let records = backend.json_records();
    assert_eq!((records.len(), backend.log_records().len()), (1, 0));
    let id = records[0].record["requestId"].as_str().unwrap();
    assert!(text.ends_with(&format!("whose requestId is {id}\n")), "{text}");
    check(&with(WRONG), NO_CREDENTIALS, &["401", "set O2_AUTHORIZATION_HEADER"]).await;
}

#[tokio::test]
async fn failed_checks_are_reported_with_their_remedy() {
    let backend = started_backend().await;
    let advice = "check the authorization header; for OpenObserve set LAMBDA_OTLP_HEADERS";
    check_otlp(backend.base(), WRONG, &[], NO_CREDENTIALS, &["connection HTTP 401", advice]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = format!("connection cannot reach {closed}: connection refused");
    check_otlp(&format!("http://{closed}"), GOOD, &[], NO_CONNECTION, &[&refused]).await;
    let parts = [
        "settings OTEL_EXPORTER_OTLP_ENDPOINT: telemetry and credentials go to localhost.invalid without TLS; if it has TLS, use https://",
        "output otlp, since OTEL_EXPORTER_OTLP_ENDPOINT is set",
        "endpoint localhost.invalid has no address",
    ];
    let unknown = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost.invalid")];
    check(&unknown, "warning ok ok failed skipped skipped skipped", &parts).await;
    let parts = [
        "settings LAMBDA_OTLP_OUTPUT: telemetry goes to stdout",
        "settings LAMBDA_OTLP_ENDPOINT",
        "output stdout, since LAMBDA_OTLP_ENDPOINT is set, but the destination is invalid",
    ];
    let invalid = [("LAMBDA_OTLP_ENDPOINT", "ftp://root:hunter2@o2.example.com")];
    check(&invalid, "warning failed ok", &parts).await;
}

#[tokio::test]
async fn a_stored_secret_is_read_before_the_backend_is_checked() {
    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";
    let backend = started_backend().await;
    let authority = Authority::new("AWS");
    let value = SecretAnswer::Value("root@example.com:pass".to_owned());
    let secrets = SecretServer::start(value).await.unwrap();
    // AWS's TLS uses the system's certificates.
    let port = TlsFront::speaking(secrets.address(), &authority, 2500, &[]).await.port();
    let file = trusted(&authority);
    let system = file.path().to_str().unwrap();
    let plain = secrets.endpoint();
    let over_tls = format!("https://localhost:{port}");
    let of_aws = |endpoint| {
        [
            ("LAMBDA_OTLP_ENDPOINT", backend.base()),
            ("LAMBDA_OTLP_OUTPUT", "otlp"),
            ("LAMBDA_OTLP_SECRET", ARN),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "simulated"),
            ("AWS_ENDPOINT_URL", endpoint),
            ("SSL_CERT_FILE", system),
        ]
    };
    let is_read = format!("secret {ARN} can be read");
    for endpoint in [&plain, &over_tls] {
        check(&of_aws(endpoint), "ok ok ok ok ok ok ok", &[&is_read]).await;
    }
    secrets.answer(SecretAnswer::Denied);
    let denied = format!(
        "secret cannot read {ARN}: access denied; allow secretsmanager:GetSecretValue on {ARN}"
    );
    let statuses = "ok ok failed skipped skipped skipped skipped";
    check(&of_aws(&plain), statuses, &[&denied]).await;
}

#[tokio::test]
async fn the_health_check_supports_grpc_and_proxies() {
    let backend = started_backend().await;
    let authority = Authority::new("Shop CA");
    let server = GrpcFront::start(&backend).await.address();
    let file = trusted(&authority);
    let path = file.path().to_str().unwrap();
    let grpc = [("LAMBDA_OTLP_PROTOCOL", "grpc"), ("LAMBDA_OTLP_CA_FILE", path)];
    let wrong = "credentials answered gRPC's status 16 (UNAUTHENTICATED)";
    let port = TlsFront::speaking(server, &authority, 2500, &["h2"]).await.port();
    let endpoint = format!("https://localhost:{port}");
    for (authorization, statuses, parts) in [
        (GOOD, ALL_OK, &["connection TLS, gRPC's status 0"][..]),
        (WRONG, NO_CREDENTIALS, &["connection TLS, gRPC's status 16", wrong]),
    ] {
        check_otlp(&endpoint, authorization, &grpc, statuses, parts).await;
    }
    assert_eq!(backend.log_records().len(), 1);

    let port = TlsFront::start(&backend, &authority, 2500).await.port();
    // `me:hunter22`
    let asks = HttpProxy::start(ProxyAnswer::Asks("Basic bWU6aHVudGVyMjI=")).await.address();
    let hangs = HttpProxy::start(ProxyAnswer::Hangs).await.address();
    let reached = format!("endpoint o2.internal is reached through the proxy {asks}");
    let late = format!("cannot reach o2.internal:{port} through the proxy {hangs}: timed out");
    for (proxy, statuses, part) in [(asks, ALL_OK, reached), (hangs, NO_CONNECTION, late)] {
        let proxy = format!("http://me:hunter22@{proxy}");
        let more = [("LAMBDA_OTLP_CA_FILE", path), ("HTTPS_PROXY", &proxy)];
        let endpoint = format!("https://o2.internal:{port}/api/default");
        check_otlp(&endpoint, GOOD, &more, statuses, &[&part]).await;
    }
    assert_eq!(backend.log_records().len(), 2);
}
