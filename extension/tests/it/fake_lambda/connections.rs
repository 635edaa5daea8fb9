//! Connections to the backend and to AWS: gRPC and TLS, secrets, proxies. What cannot be delivered is spilled, and the log names
//! the reason once, without credentials.

use crate::fake_lambda::direct::{delivered, spilled, started_backend, three_spans};
use crate::fake_lambda::support::logged;
use test_support::openobserve::FakeOpenObserve;
use test_support::openobserve::grpc::GrpcFront;
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::secrets::{SecretAnswer, SecretServer};
use test_support::tls::{Authority, TlsFront};
use tokio::net::TcpListener;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";
/// The password of the backend's user.
const PASSWORD: &str = "hunter22";
/// `me:hunt er22`, as the proxy's header has it.
const BASIC: &str = "Basic bWU6aHVudCBlcjIy";
/// The same in a URL.
const USER: &str = "me:hunt%20er22@";

pub(crate) fn trusted(authority: &Authority) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    file
}

fn url_of(proxy: &HttpProxy) -> String {
    format!("http://{USER}{}", proxy.address())
}

/// Sends three spans with these variables. All are delivered if no reason is expected; else all are spilled, and one line of the
/// log contains the reason.
async fn check(
    backend: &FakeOpenObserve,
    endpoint: &str,
    variables: &[(&str, &str)],
    reason: Option<&str>,
) {
    let (warnings, _log) = logged();
    let direct = [("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", endpoint)];
    let (stdout, _) = three_spans(&[&direct[..], variables].concat()).await;
    let expected = if reason.is_none() { (3, 0) } else { (0, 3) };
    // The invocation's own span goes the same way.
    let spilled = spilled(&stdout).saturating_sub(1);
    let warnings = warnings.lock().unwrap();
    assert_eq!((delivered(backend), spilled), expected, "{variables:?}: {warnings:?}");
    if let Some(reason) = reason {
        let deliveries = warnings.iter().filter(|line| line.contains("cannot deliver"));
        let [line] = *deliveries.collect::<Vec<_>>() else { panic!("{variables:?}: {warnings:?}") };
        assert!(line.contains(reason), "{line}\nexpected {reason}");
    }
    for password in ["hunt", "bWU6", "cm9vdEBleGFtcGxlLmNvb", "simulated"] {
        assert!(!warnings.iter().any(|line| line.contains(password)), "{warnings:?}");
    }
    backend.clear();
}

#[tokio::test]
async fn grpc_over_tls_needs_http_2() {
    let backend = started_backend().await;
    let authority = Authority::new("Shop CA");
    let server = GrpcFront::start(&backend).await;
    let file = trusted(&authority);
    let path = file.path().to_str().unwrap();
    let variables = [("LAMBDA_OTLP_PROTOCOL", "grpc"), ("LAMBDA_OTLP_CA_FILE", path)];
    let advice = "the port does not seem to speak HTTP/2, is it the one for gRPC (4317)? else set LAMBDA_OTLP_PROTOCOL=http/protobuf";
    // By name, and by saying nothing, as load balancers do that know TLS alone.
    for (protocols, is_grpc) in [
        (&["h2"][..], true),
        (&["http/1.1", "h2"], true),
        (&[], true),
        (&["http/1.1"], false),
        (&[], false),
    ] {
        let server = if is_grpc { server.address() } else { backend.address() };
        let port = TlsFront::speaking(server, &authority, 2500, protocols).await.port();
        let endpoint = format!("https://localhost:{port}");
        check(&backend, &endpoint, &variables, (!is_grpc).then_some(advice)).await;
    }
    assert!(server.calls() > 0);
}

struct SecretRow<'a> {
    reference: &'static str,
    answer: SecretAnswer,
    call: &'static str,
    /// The reason of the spill.
    reason: Option<&'a str>,
}

#[tokio::test]
async fn a_secret_is_read_once_and_without_it_spans_are_spilled() {
    let value = || SecretAnswer::Value(format!("root@example.com:{PASSWORD}"));
    let advice = format!("access denied; allow secretsmanager:GetSecretValue on {ARN}");
    for SecretRow { reference, answer, call, reason } in [
        SecretRow { reference: ARN, answer: value(), call: "GetSecretValue", reason: None },
        SecretRow {
            reference: "ssm:/o2/auth",
            answer: value(),
            call: "GetParameter",
            reason: None,
        },
        SecretRow {
            reference: ARN,
            answer: SecretAnswer::Denied,
            call: "GetSecretValue",
            reason: Some(&*advice),
        },
        SecretRow {
            reference: ARN,
            answer: SecretAnswer::Hangs,
            call: "GetSecretValue",
            reason: Some("before the deadline"),
        },
    ] {
        let backend =
            FakeOpenObserve::builder().no_window().user("root@example.com", PASSWORD).start();
        let (backend, secrets) =
            (backend.await.unwrap(), SecretServer::start(answer).await.unwrap());
        let variables = [
            ("LAMBDA_OTLP_SECRET", reference),
            ("AWS_ENDPOINT_URL", &*secrets.endpoint()),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "simulated"),
        ];
        check(&backend, backend.base(), &variables, reason).await;
        if reason.is_none() {
            assert_eq!(secrets.asked(), [call]);
        }
    }
}

struct ProxyRow<'a> {
    /// The variable that names the proxy.
    variable: &'static str,
    url: &'a String,
    /// The scheme of the endpoint.
    scheme: &'static str,
    /// The port of the endpoint.
    port: u16,
    protocol: &'static str,
}

#[tokio::test]
async fn requests_go_through_the_proxy_of_their_scheme() {
    let backend = started_backend().await;
    let authority = Authority::new("Shop CA");
    let server = GrpcFront::start(&backend).await;
    let file = trusted(&authority);
    let tls = TlsFront::start(&backend, &authority, 2500).await.port();
    let grpc = TlsFront::speaking(server.address(), &authority, 2500, &["h2"]).await.port();
    let proxy = HttpProxy::start(ProxyAnswer::Asks(BASIC)).await;
    // The connection to the proxy may use TLS too.
    let before = TlsFront::speaking(proxy.address(), &authority, 2500, &["http/1.1"]).await;
    let over_tls = format!("https://{USER}localhost:{}", before.port());
    let url = url_of(&proxy);
    let plain = backend.address().port();
    let path = file.path().to_str().unwrap();
    for ProxyRow { variable, url, scheme, port, protocol } in [
        ProxyRow {
            variable: "LAMBDA_OTLP_PROXY",
            url: &url,
            scheme: "https",
            port: tls,
            protocol: "http/protobuf",
        },
        ProxyRow {
            variable: "HTTPS_PROXY",
            url: &url,
            scheme: "https",
            port: tls,
            protocol: "http/protobuf",
        },
        ProxyRow {
            variable: "LAMBDA_OTLP_PROXY",
            url: &over_tls,
            scheme: "https",
            port: tls,
            protocol: "http/protobuf",
        },
        ProxyRow {
            variable: "LAMBDA_OTLP_PROXY",
            url: &url,
            scheme: "http",
            port: plain,
            protocol: "http/protobuf",
        },
        ProxyRow {
            variable: "HTTP_PROXY",
            url: &url,
            scheme: "http",
            port: plain,
            protocol: "http/protobuf",
        },
        ProxyRow {
            variable: "LAMBDA_OTLP_PROXY",
            url: &over_tls,
            scheme: "http",
            port: plain,
            protocol: "http/protobuf",
        },
        ProxyRow {
            variable: "LAMBDA_OTLP_PROXY",
            url: &url,
            scheme: "https",
            port: grpc,
            protocol: "grpc",
        },
        ProxyRow {
            variable: "LAMBDA_OTLP_PROXY",
            url: &over_tls,
            scheme: "https",
            port: grpc,
            protocol: "grpc",
        },
    ] {
        let seen = proxy.heads().len();
        let endpoint = format!("{scheme}://o2.internal:{port}/api/default");
        let variables = [
            (variable, url.as_str()),
            ("LAMBDA_OTLP_CA_FILE", path),
            ("LAMBDA_OTLP_HEADERS", "authorization=Basic c2VjcmV0"),
            ("LAMBDA_OTLP_PROTOCOL", protocol),
            // It exempts no host from our variable.
            ("NO_PROXY", if variable == "LAMBDA_OTLP_PROXY" { "o2.internal" } else { "" }),
        ];
        check(&backend, &endpoint, &variables, None).await;
        let heads = proxy.heads().split_off(seen);
        assert!(!heads.is_empty());
        for head in heads {
            let begins = match scheme {
                "https" => vec![format!("CONNECT o2.internal:{port} HTTP/1.1\r\n")],
                // The second asks for the stream's columns.
                _ => vec![format!("POST {endpoint}/v1/"), format!("GET {endpoint}/streams/")],
            };
            assert!(begins.iter().any(|begin| head.starts_with(begin)), "{head}");
            assert_eq!(head.contains("c2VjcmV0"), scheme == "http", "{head}");
        }
    }
    assert!(before.handshakes() > 1 && server.calls() > 0);
}

#[tokio::test]
async fn exempt_hosts_and_loopback_bypass_the_proxy() {
    let backend = started_backend().await;
    let proxy = HttpProxy::start(ProxyAnswer::Leads).await;
    let url = url_of(&proxy);
    let variables = [("LAMBDA_OTLP_PROXY", &*url), ("HTTP_PROXY", &*url)];
    check(&backend, backend.base(), &variables, None).await;
    let without_proxy = [("HTTP_PROXY", &*url), ("NO_PROXY", "example.com, .invalid")];
    let reason = Some("cannot reach o2.invalid:80: ");
    check(&backend, "http://o2.invalid/api/default", &without_proxy, reason).await;
    assert_eq!(proxy.heads().len(), 0);
}

#[tokio::test]
async fn spans_are_spilled_if_the_proxy_fails() {
    let backend = started_backend().await;
    let authority = Authority::new("Shop CA");
    let tls = TlsFront::start(&backend, &authority, 2500).await.port();
    let file = trusted(&authority);
    let plain = backend.address().port();
    let nonsense = "SSH-2.0-OpenSSH_9.9\r\nhunter22\r\n\r\n".to_owned();
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned();
    let credentials = "the proxy answered 407: user and password of its URL are wrong or missing";
    let both = &["https", "http"][..];
    let https = &["https"][..];
    let refused = "the proxy did not connect to this host";
    for (answer, schemes, why) in [
        (ProxyAnswer::Asks("Basic b3RoZXI6b3RoZXI="), both, credentials),
        (ProxyAnswer::Says(refusal), https, refused),
        (ProxyAnswer::Says(nonsense), https, refused),
        (ProxyAnswer::Endless, https, refused),
        (ProxyAnswer::Closes, both, ""),
        // The flush ends before the connection is made.
        (ProxyAnswer::Hangs, both, ""),
    ] {
        let proxy = HttpProxy::start(answer).await;
        let url = url_of(&proxy);
        let path = file.path().to_str().unwrap();
        let variables = [("LAMBDA_OTLP_PROXY", &*url), ("LAMBDA_OTLP_CA_FILE", path)];
        for scheme in schemes {
            let port = if *scheme == "https" { tls } else { plain };
            let endpoint = format!("{scheme}://o2.internal:{port}/api/default");
            let reason = format!("o2.internal:{port} through the proxy {}: {why}", proxy.address());
            check(&backend, &endpoint, &variables, Some(&reason)).await;
        }
        assert!(!proxy.heads().is_empty());
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{USER}{closed}");
    let reason = format!("o2.internal:443 through the proxy {closed}: connection refused");
    let endpoint = "https://o2.internal/api/default";
    check(&backend, endpoint, &[("HTTPS_PROXY", &*url)], Some(&reason)).await;
}
