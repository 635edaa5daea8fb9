//! Connections to the backend and to AWS: gRPC and TLS, secrets, proxies. A broken one costs no more than a hanging backend.

use crate::direct::stories::{ONE_FLUSH, invocations, sink};
use crate::direct::{Account, run_story};
use local_lambda::FunctionSpec;
use std::net::SocketAddr;
use test_support::openobserve::Sink;
use test_support::openobserve::grpc::GrpcFront;
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::secrets::{SecretAnswer, SecretServer};
use test_support::tls::{Authority, TlsFront};
use tokio::net::TcpListener;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";
/// The password of the backend's user.
const PASSWORD: &str = "hunter22";

/// `me:hunt er22`, as a proxy is told it.
const BASIC: &str = "Basic bWU6aHVudCBlcjIy";
/// The same in a URL.
const USER: &str = "me:hunt%20er22@";

/// A file with the authority's certificate.
fn trusted(authority: &Authority) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    file
}

fn url_of(proxy: &HttpProxy) -> String {
    format!("http://{USER}{}", proxy.address())
}

/// Runs a story with these variables. It costs no more than a hanging backend, and logs no password.
async fn story_with(sink: &Sink, endpoint: &str, variables: &[(&str, &str)]) -> Account {
    let with = |spec: FunctionSpec| {
        variables.iter().fold(spec, |spec, (name, value)| spec.env(*name, *value))
    };
    let account = run_story(sink, endpoint, &invocations(5), with).await;
    account.balances(false);
    assert!(account.kept.iter().all(|kept| *kept < ONE_FLUSH), "{:?}", account.kept);
    for password in ["hunt", "bWU6"] {
        assert!(!account.log.has_text(password), "{:?}", account.log.text);
    }
    account
}

/// All of it came to the backend.
#[track_caller]
fn all_is_delivered(account: &Account) {
    assert_eq!((account.delivered.len(), account.spilled()), (15, 0), "{account:?}");
}

/// All of it was spilled, and one line tells why nothing is delivered.
#[track_caller]
fn all_is_spilled(account: &Account) -> &str {
    assert_eq!((account.delivered.len(), account.spilled()), (0, 15), "{account:?}");
    let lines = account.log.text.iter().filter(|line| line.contains("cannot deliver"));
    let [line] = *lines.collect::<Vec<_>>() else { panic!("{:?}", account.log.text) };
    line
}

/// Runs a story over gRPC with a server that offers these protocols in TLS. Also returns the port.
async fn story_over_grpc(sink: &Sink, server: SocketAddr, protocols: &[&str]) -> (Account, u16) {
    let authority = Authority::new("Shop CA");
    let front = TlsFront::speaking(server, &authority, 2500, protocols).await;
    let file = trusted(&authority);
    let variables =
        [("LAMBDA_OTLP_PROTOCOL", "grpc"), ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap())];
    let endpoint = format!("https://localhost:{}", front.port());
    (story_with(sink, &endpoint, &variables).await, front.port())
}

#[tokio::test]
async fn grpc_over_tls_works_with_h2_and_without_alpn() {
    // By name, and by saying nothing, as load balancers do that know TLS alone.
    for protocols in [&["h2"][..], &["http/1.1", "h2"], &[]] {
        let sink = sink().await;
        let server = GrpcFront::start(&sink).await;
        let (account, _) = story_over_grpc(&sink, server.address(), protocols).await;
        all_is_delivered(&account);
        assert!(server.calls() > 0);
    }
}

#[tokio::test]
async fn a_server_without_http_2_is_reported_and_spans_spilled() {
    let advice = "the port does not seem to speak HTTP/2, is it the one for gRPC (4317)? else set LAMBDA_OTLP_PROTOCOL=http/protobuf";
    for protocols in [&["http/1.1"][..], &[]] {
        let sink = sink().await;
        let (account, port) = story_over_grpc(&sink, sink.address(), protocols).await;
        let line = all_is_spilled(&account);
        assert!(line.contains(&format!("localhost:{port}")) && line.contains(advice), "{line}");
        assert!(!line.contains("speak HTTP/1.1"), "{line}");
    }
}

/// Runs a story with credentials from `reference`, and this answer of AWS. Also returns the calls to AWS.
async fn story_with_secret(reference: &str, answer: SecretAnswer) -> (Account, Vec<String>) {
    let sink = Sink::builder().no_window().user("root@example.com", PASSWORD).start().await;
    let sink = sink.unwrap();
    let secrets = SecretServer::start(answer).await.unwrap();
    let endpoint = secrets.endpoint();
    let variables = [("LAMBDA_OTLP_SECRET", reference), ("AWS_ENDPOINT_URL", &*endpoint)];
    let account = story_with(&sink, sink.base(), &variables).await;
    for text in [PASSWORD, "cm9vdEBleGFtcGxlLmNvb", "simulated"] {
        assert!(!account.log.has_text(text), "{:?}", account.log.text);
    }
    (account, secrets.asked())
}

#[tokio::test]
async fn a_secret_is_read_once_and_all_spans_are_delivered() {
    for (reference, call) in [(ARN, "GetSecretValue"), ("ssm:/o2/auth", "GetParameter")] {
        let value = SecretAnswer::Value(format!("root@example.com:{PASSWORD}"));
        let (account, asked) = story_with_secret(reference, value).await;
        all_is_delivered(&account);
        assert_eq!(asked, [call]);
    }
}

#[tokio::test]
async fn spans_are_spilled_if_the_secret_is_unreadable_or_late() {
    let advice = format!("access denied; allow secretsmanager:GetSecretValue on {ARN}");
    for (answer, expected) in [(SecretAnswer::Denied, &*advice), (SecretAnswer::Hangs, "")] {
        let (account, _) = story_with_secret(ARN, answer).await;
        let line = all_is_spilled(&account);
        assert!(line.contains(expected), "{line}");
    }
}

#[tokio::test]
async fn tls_is_tunneled_to_hosts_resolved_by_the_proxy() {
    for name in ["LAMBDA_OTLP_PROXY", "HTTPS_PROXY"] {
        let (sink, authority) = (sink().await, Authority::new("Shop CA"));
        let port = TlsFront::start(&sink, &authority, 2500).await.port();
        let endpoint = format!("https://o2.internal:{port}/api/default");
        let proxy = HttpProxy::start(ProxyAnswer::Asks(BASIC)).await;
        let (file, url) = (trusted(&authority), url_of(&proxy));
        let variables = [(name, &*url), ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap())];
        let headers = ("LAMBDA_OTLP_HEADERS", "authorization=Basic c2VjcmV0");
        all_is_delivered(
            &story_with(&sink, &endpoint, &[&variables[..], &[headers]].concat()).await,
        );
        for head in proxy.heads() {
            let begin =
                format!("CONNECT o2.internal:{port} HTTP/1.1\r\nHost: o2.internal:{port}\r\n");
            assert!(head.starts_with(&begin), "{head}");
            assert!(!head.contains("c2VjcmV0"), "the backend's credentials: {head}");
        }
        assert!(!proxy.heads().is_empty());
        for request in sink.requests() {
            assert!(!request.headers.contains_key("proxy-authorization"), "{request:?}");
        }
    }
}

#[tokio::test]
async fn requests_without_tls_send_the_absolute_url_to_the_proxy() {
    for name in ["LAMBDA_OTLP_PROXY", "HTTP_PROXY"] {
        let sink = sink().await;
        let port = sink.address().port();
        let endpoint = format!("http://o2.internal:{port}/api/default");
        let proxy = HttpProxy::start(ProxyAnswer::Asks(BASIC)).await;
        all_is_delivered(&story_with(&sink, &endpoint, &[(name, &*url_of(&proxy))]).await);
        for head in proxy.heads() {
            assert!(head.starts_with(&format!("POST {endpoint}/v1/")), "{head}");
            assert!(head.contains(&format!("host: o2.internal:{port}\r\n")), "{head}");
        }
        assert!(!proxy.heads().is_empty());
    }
}

#[tokio::test]
async fn the_connection_to_the_proxy_may_use_tls() {
    let (sink, authority) = (sink().await, Authority::new("Shop CA"));
    let port = TlsFront::start(&sink, &authority, 2500).await.port();
    let proxy = HttpProxy::start(ProxyAnswer::Asks(BASIC)).await;
    let before = TlsFront::speaking(proxy.address(), &authority, 2500, &["http/1.1"]).await;
    let url = format!("https://{USER}localhost:{}", before.port());
    let file = trusted(&authority);
    let variables =
        [("LAMBDA_OTLP_PROXY", &*url), ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap())];
    let endpoints = [
        format!("https://o2.internal:{port}/api/default"),
        format!("http://o2.internal:{}/api/default", sink.address().port()),
    ];
    for (number, endpoint) in endpoints.iter().enumerate() {
        let account = story_with(&sink, endpoint, &variables).await;
        assert_eq!(account.spilled(), 0, "{account:?}");
        assert_eq!(account.delivered.len(), 15, "{number}: {account:?}");
        sink.clear();
    }
    assert!(before.handshakes() > 1);
}

#[tokio::test]
async fn grpc_with_tls_is_tunneled() {
    let (sink, authority) = (sink().await, Authority::new("Shop CA"));
    let server = GrpcFront::start(&sink).await;
    let front = TlsFront::speaking(server.address(), &authority, 2500, &["h2"]).await;
    let endpoint = format!("https://o2.internal:{}", front.port());
    let proxy = HttpProxy::start(ProxyAnswer::Asks(BASIC)).await;
    let before = TlsFront::speaking(proxy.address(), &authority, 2500, &["http/1.1"]).await;
    let file = trusted(&authority);
    for url in [url_of(&proxy), format!("https://{USER}localhost:{}", before.port())] {
        let variables = [
            ("LAMBDA_OTLP_PROXY", &*url),
            ("LAMBDA_OTLP_PROTOCOL", "grpc"),
            ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap()),
        ];
        all_is_delivered(&story_with(&sink, &endpoint, &variables).await);
        sink.clear();
    }
    assert!(proxy.heads().iter().all(|head| head.starts_with("CONNECT o2.internal:")));
    assert!(server.calls() > 0);
}

#[tokio::test]
async fn exempt_hosts_and_loopback_bypass_the_proxy() {
    let sink = sink().await;
    let proxy = HttpProxy::start(ProxyAnswer::Leads).await;
    let url = url_of(&proxy);
    let variables = [("LAMBDA_OTLP_PROXY", &*url), ("HTTP_PROXY", &*url)];
    all_is_delivered(&story_with(&sink, sink.base(), &variables).await);
    assert_eq!(proxy.heads().len(), 0);
    sink.clear();
    let endpoint = "http://o2.invalid/api/default";
    let variables = [("HTTP_PROXY", &*url), ("NO_PROXY", "example.com, .invalid")];
    let account = story_with(&sink, endpoint, &variables).await;
    assert_eq!((account.spilled(), proxy.heads().len()), (15, 0), "{account:?}");
    assert!(account.log.has_text("cannot reach o2.invalid:80: "), "{:?}", account.log.text);
}

/// Through a proxy that does this nothing is delivered, all is in the log, and one line says why, with the proxy's host.
async fn fails(answer: ProxyAnswer, why: &str) {
    let (sink, authority) = (sink().await, Authority::new("Shop CA"));
    let proxy = HttpProxy::start(answer.clone()).await;
    let tls = TlsFront::start(&sink, &authority, 2500).await.port();
    let plain = sink.address().port();
    for (scheme, port) in [("https", tls), ("http", plain)] {
        let endpoint = format!("{scheme}://o2.internal:{port}/api/default");
        let (file, url) = (trusted(&authority), url_of(&proxy));
        let variables =
            [("LAMBDA_OTLP_PROXY", &*url), ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap())];
        // After garbage the state of the backend is unknown.
        let account = story_with(&sink, &endpoint, &variables).await;
        let line = all_is_spilled(&account);
        let through = format!("o2.internal:{port} through the proxy {}: ", proxy.address());
        assert!(line.contains(&through), "{line}");
        if (scheme == "https" && !why.is_empty()) || why.contains("407") {
            let expected = format!("cannot reach {through}{why}");
            assert!(line.contains(&expected), "{line}\nexpected {expected}");
        }
    }
    assert!(!proxy.heads().is_empty());
}

#[tokio::test]
async fn spans_are_spilled_if_the_proxy_fails() {
    let credentials = "the proxy answered 407: user and password of its URL are wrong or missing";
    fails(ProxyAnswer::Asks("Basic b3RoZXI6b3RoZXI="), credentials).await;
    // The flush ends before the connection is made.
    fails(ProxyAnswer::Hangs, "").await;
    let nonsense = "SSH-2.0-OpenSSH_9.9\r\nhunter22\r\n\r\n".to_owned();
    for answer in [ProxyAnswer::Says(nonsense), ProxyAnswer::Endless, ProxyAnswer::Closes] {
        fails(answer, "the proxy did not connect to this host").await;
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_the_host_or_is_unreachable_is_named_in_the_log() {
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned();
    let refusing = HttpProxy::start(ProxyAnswer::Says(refusal)).await.address();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (proxy, why) in
        [(refusing, "the proxy did not connect to this host"), (closed, "connection refused")]
    {
        let url = format!("http://{USER}{proxy}");
        let variables = [("HTTPS_PROXY", &*url)];
        let endpoint = "https://o2.internal/api/default";
        let account = story_with(&sink().await, endpoint, &variables).await;
        let line = all_is_spilled(&account);
        let expected = format!("cannot reach o2.internal:443 through the proxy {proxy}: {why}");
        assert!(line.contains(&expected), "{line}");
    }
}

#[tokio::test]
async fn the_extension_as_its_own_proxy_selects_stdout() {
    let sink = sink().await;
    let endpoint = format!("http://o2.internal:{}/api/default", sink.address().port());
    for url in ["http://localhost:4318", "http://127.0.0.1:4317"] {
        let with = |spec: FunctionSpec| spec.env("HTTP_PROXY", url);
        let account = run_story(&sink, &endpoint, &invocations(2), with).await;
        assert_eq!((account.log.own.len(), account.log.spilled_lines), (6, 0), "{account:?}");
        assert!(account.log.has_text("HTTP_PROXY: port 431"), "{:?}", account.log.text);
    }
}

#[tokio::test]
async fn secrets_are_read_through_the_proxy() {
    let sink = Sink::builder().no_window().user("root@example.com", "pass").start().await.unwrap();
    let value = SecretAnswer::Value("root@example.com:pass".to_owned());
    let secrets = SecretServer::start(value).await.unwrap();
    let authority = Authority::new("AWS");
    let port = TlsFront::before(secrets.address(), &authority, 2500).await.port();
    // AWS's TLS uses the system's certificates.
    let (file, proxy) = (trusted(&authority), HttpProxy::start(ProxyAnswer::Asks(BASIC)).await);
    let (url, aws) = (url_of(&proxy), format!("https://aws.internal:{port}"));
    let variables = [
        ("HTTPS_PROXY", &*url),
        ("LAMBDA_OTLP_SECRET", ARN),
        ("AWS_ENDPOINT_URL", &*aws),
        ("SSL_CERT_FILE", file.path().to_str().unwrap()),
    ];
    all_is_delivered(&story_with(&sink, sink.base(), &variables).await);
    let heads = proxy.heads();
    let begin = format!("CONNECT aws.internal:{port} HTTP/1.1\r\n");
    assert!(heads.iter().all(|head| head.starts_with(&begin)), "{heads:?}");
    assert_eq!(secrets.asked(), ["GetSecretValue"]);
    // Where the proxy does not lead there, the line names it.
    let proxy = HttpProxy::start(ProxyAnswer::Asks("Basic b3RoZXI6b3RoZXI=")).await;
    let url = url_of(&proxy);
    let variables = [&[("HTTPS_PROXY", &*url)], &variables[1..]].concat();
    sink.clear();
    let account = story_with(&sink, sink.base(), &variables).await;
    let expected = format!(
        "through the proxy {}: tunnel error: proxy authorization required",
        proxy.address()
    );
    let line = all_is_spilled(&account);
    assert!(line.contains(&expected), "{line}");
}
