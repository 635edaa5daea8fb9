//! TLS and proxies as in companies: private authorities, expired certificates, a proxy on the way. Real handshakes.

use crate::requests::{destination, numbered, started};
use lambda_otlp_backend::{Client, DestinationConfig, Outcome, OwnAuthority};
use settings::Proxy;
use std::io::Write as _;
use std::time::Duration;
use test_support::openobserve::Sink;
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::tls::{Authority, TlsFront};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;

fn authority() -> Authority {
    Authority::new("Shop CA")
}

async fn sink() -> Sink {
    started(Sink::builder()).await
}

/// The path as the forwarder finds it in its package.
fn trusting(authority: &Authority) -> OwnAuthority {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    OwnAuthority::from_file(file.path()).unwrap()
}

/// One record.
pub(crate) async fn export(client: &Client) -> Outcome {
    client.export(None, numbered(0..1), Instant::now() + Duration::from_secs(10)).await
}

fn client(destination: &DestinationConfig) -> Client {
    Client::new(destination).unwrap().without_retries()
}

/// The reason of an export that failed before sending anything.
async fn refusal(destination: &DestinationConfig) -> String {
    let outcome = export(&client(destination)).await;
    assert_eq!((outcome.undelivered(), outcome.ambiguous_items), (1, 0));
    outcome.parts[0].reason.to_string()
}

/// If the file contains exactly that one. Its name and dates count.
#[tokio::test]
async fn a_self_signed_server_is_trusted_by_its_certificate() {
    let sink = sink().await;
    let export_to = async |host: &str, until_year, is_own| {
        let server = Authority::of_server(until_year);
        let port = TlsFront::start(&sink, &server, until_year).await.port();
        let mut destination = destination(&format!("https://{host}:{port}/api/default"));
        let other = Authority::of_server(until_year);
        destination.own_authority = Some(trusting(if is_own { &server } else { &other }));
        export(&client(&destination)).await
    };
    assert_eq!(export_to("localhost", 2500, true).await.accepted, 1);
    for (host, until_year, is_own, problem) in [
        ("127.0.0.1", 2500, true, "not valid for name"),
        ("localhost", 2020, true, "renew the server's certificate"),
        ("localhost", 2500, false, "give that certificate in LAMBDA_OTLP_CA_FILE"),
    ] {
        let refused = export_to(host, until_year, is_own).await;
        assert_eq!((refused.undelivered(), refused.ambiguous_items), (1, 0));
        let reason = refused.parts[0].reason.to_string();
        assert!(reason.contains(problem), "{reason}");
    }
}

/// The authority, the name and the dates of a certificate count.
#[tokio::test]
async fn certificates_are_verified() {
    let (sink, authority) = (sink().await, authority());
    let port = TlsFront::start(&sink, &authority, 2500).await.port();
    let expired = TlsFront::start(&sink, &authority, 2020).await.port();
    let export_to = async |host: &str, port: u16, trusted: &Authority| {
        let mut destination = destination(&format!("https://{host}:{port}/api/default"));
        destination.own_authority = Some(trusting(trusted));
        export(&client(&destination)).await
    };
    assert_eq!(export_to("localhost", port, &authority).await.accepted, 1);
    let untrusted = |problem: &str| {
        format!(
            "cannot reach localhost:{port}: invalid peer certificate: {problem}: its authority is not trusted, give the authority's certificate in LAMBDA_OTLP_CA_FILE"
        )
    };
    let (other, same_name) = (Authority::new("Another CA"), Authority::new("Shop CA"));
    for (host, port, trusted, problem) in [
        ("localhost", port, &other, untrusted("UnknownIssuer")),
        ("localhost", port, &same_name, untrusted("BadSignature")),
        ("127.0.0.1", port, &authority, "not valid for name".to_owned()),
        ("localhost", expired, &authority, ": renew the server's certificate".to_owned()),
    ] {
        let refused = export_to(host, port, trusted).await;
        assert_eq!((refused.undelivered(), refused.ambiguous_items), (1, 0));
        let reason = refused.parts[0].reason.to_string();
        assert!(reason.contains(&problem), "{reason}\nexpected {problem}");
    }
    assert_eq!(sink.log_records().len(), 1);
}

#[tokio::test]
async fn connections_are_reused_until_dropped() {
    let (sink, authority) = (sink().await, authority());
    let front = TlsFront::start(&sink, &authority, 2500).await;
    let port = front.port();
    let mut destination = destination(&format!("https://localhost:{port}/api/default"));
    destination.own_authority = Some(trusting(&authority));
    let client = client(&destination);
    let export_twice = async || {
        for _ in 0..2 {
            assert_eq!(export(&client).await.accepted, 1);
        }
        front.handshakes()
    };
    assert_eq!(export_twice().await, 1);
    client.drop_connections().unwrap();
    assert_eq!(export_twice().await, 2);
}

#[tokio::test]
async fn a_proxy_serves_both_schemes_with_its_own_credentials() {
    let (sink, authority) = (sink().await, authority());
    let port = TlsFront::start(&sink, &authority, 2500).await.port();
    let server = HttpProxy::start(ProxyAnswer::Leads).await;
    let last_head = || server.heads().pop().unwrap();
    let proxy = Url::parse(&format!("http://me:hunter22@{}", server.address())).unwrap();
    let through = |base: &str| {
        let mut destination = destination(base);
        destination.headers.push("authorization", "Basic c2VjcmV0").unwrap();
        destination.own_authority = Some(trusting(&authority));
        destination.proxy = Some(Proxy::new(&proxy));
        destination
    };
    let https = through(&format!("https://o2.internal:{port}/api/default"));
    assert_eq!(export(&client(&https)).await.accepted, 1);
    let head = last_head();
    assert!(head.starts_with(&format!("CONNECT o2.internal:{port} HTTP/1.1\r\n")), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("proxy-authorization: basic bwu6ahvudgvymji=\r\n"), "{head}");
    assert!(!head.contains("c2vjcmv0"), "{head}");
    let debug = format!("{https:?} {:?}", client(&https));
    for credential in ["hunter22", "bWU6aHVudGVyMjI=", "c2VjcmV0"] {
        assert!(!debug.contains(credential), "{debug}");
    }

    let base = format!("http://o2.internal:{}/api/default", sink.address().port());
    assert_eq!(export(&client(&through(&base))).await.accepted, 1);
    let head = last_head();
    assert!(head.starts_with(&format!("POST {base}/v1/logs HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("proxy-authorization: Basic bWU6aHVudGVyMjI=\r\n"), "{head}");
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn loopback_and_exempt_hosts_bypass_the_proxy() {
    let sink = sink().await;
    let server = HttpProxy::start(ProxyAnswer::Leads).await;
    let proxy = Proxy::new(&Url::parse(&format!("http://{}", server.address())).unwrap());
    let mut here = destination(sink.base());
    here.proxy = Some(proxy.clone());
    assert_eq!(export(&client(&here)).await.accepted, 1);
    let mut elsewhere = destination("http://o2.invalid/api/default");
    elsewhere.proxy = Some(Proxy { exempt: "invalid".to_owned(), ..proxy });
    assert!(refusal(&elsewhere).await.starts_with("cannot reach o2.invalid:80: "));
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn an_unreachable_proxy_is_named_without_its_credentials() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut destination = destination("https://o2.example.com/api/default");
    destination.own_authority = Some(trusting(&authority()));
    destination.proxy =
        Some(Proxy::new(&Url::parse(&format!("http://me:hunter22@{closed}")).unwrap()));
    assert_eq!(
        refusal(&destination).await,
        format!("cannot reach o2.example.com:443 through the proxy {closed}: connection refused")
    );
}
