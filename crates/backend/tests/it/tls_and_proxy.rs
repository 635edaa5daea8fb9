//! TLS and proxies as in companies: private authorities, expired certificates, a proxy on the way. Real handshakes.

use crate::support::{
    NOW, export, keeps_connections_until_they_are_dropped, trusting,
    trusts_a_self_signed_server_by_its_own_certificate, verifies_certificates,
};
use lambda_otlp_backend::{Client, DestinationConfig, RetryPolicy};
use settings::Proxy;
use test_support::openobserve::Sink;
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::tls::{Authority, TlsFront};
use tokio::net::TcpListener;
use url::Url;

fn authority() -> Authority {
    Authority::new("Shop CA")
}

async fn sink() -> Sink {
    Sink::builder().clock(|| NOW).start().await.unwrap()
}

fn destination(base: &str) -> DestinationConfig {
    DestinationConfig::new(&Url::parse(base).unwrap())
}

fn client(destination: &DestinationConfig) -> Client {
    Client::new(destination).unwrap().with_retry_policy(RetryPolicy::default().once())
}

/// The reason of an export that failed before sending anything.
async fn refusal(destination: &DestinationConfig) -> String {
    let outcome = export(&client(destination)).await;
    assert_eq!((outcome.undelivered(), outcome.ambiguous_items), (1, 0));
    outcome.parts[0].reason.to_string()
}

#[tokio::test]
async fn a_self_signed_server_is_trusted_by_its_certificate() {
    trusts_a_self_signed_server_by_its_own_certificate(&sink().await, destination, client).await;
}

#[tokio::test]
async fn certificates_are_verified() {
    verifies_certificates(&sink().await, destination, client).await;
}

#[tokio::test]
async fn connections_are_reused_until_dropped() {
    let (sink, authority) = (sink().await, authority());
    let front = TlsFront::start(&sink, &authority, 2500).await;
    let port = front.port();
    let mut destination = destination(&format!("https://localhost:{port}/api/default"));
    destination.own_authority = Some(trusting(&authority));
    keeps_connections_until_they_are_dropped(&client(&destination), &front).await;
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
