//! One attempt of a request over real sockets: TLS, reused connections, and failures. Proxies are in the extension's tests.

use crate::requests::{destination, numbered, send, started};
use lambda_otlp_backend::{Client, DestinationConfig, Outcome, OwnAuthority};
#[cfg(feature = "grpc")]
use lambda_otlp_backend::{HttpTransport, Protocol};
use std::io::Write as _;
use std::time::Duration;
#[cfg(feature = "grpc")]
use test_support::openobserve::grpc::GrpcFront;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use test_support::tls::{Authority, TlsFront};
use tokio::net::TcpListener;

async fn backend() -> FakeOpenObserve {
    started(FakeOpenObserve::builder()).await
}

/// A destination behind TLS, with the authority's certificate in its file.
fn trusting(host: &str, port: u16, authority: &Authority) -> DestinationConfig {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    let mut destination = destination(&format!("https://{host}:{port}/api/default"));
    destination.own_authority = Some(OwnAuthority::from_file(file.path()).unwrap());
    destination
}

fn client(destination: &DestinationConfig) -> Client {
    Client::new(destination).unwrap().without_retries()
}

/// Sends one record.
async fn export(client: &Client) -> Outcome {
    send(client, numbered(0..1)).await
}

/// The reason of a failed export, and whether the backend may have the request.
async fn failure(destination: &DestinationConfig) -> (String, usize) {
    let outcome = export(&client(destination)).await;
    assert_eq!(outcome.undelivered(), 1);
    (outcome.parts[0].reason.to_string(), outcome.ambiguous_items)
}

#[tokio::test]
async fn a_port_that_wants_tls_is_named() {
    let backend = backend().await;
    let port = TlsFront::start(&backend, &Authority::new("Shop CA"), 2500).await.port();
    let plain = destination(&format!("http://localhost:{port}/api/default"));
    let (reason, _) = failure(&plain).await;
    assert!(reason.starts_with(&format!("no answer from localhost:{port}: ")), "{reason}");
    assert!(reason.contains("https://"), "{reason}");
}

struct RefusedCertificate<'a> {
    server: &'a Authority,
    until_year: i32,
    host: &'static str,
    trusted: &'a Authority,
    problem: &'static str,
}

/// The authority, the name and the dates of a certificate count. The file may also have a server's own certificate.
#[tokio::test]
async fn certificates_are_verified() {
    let backend = backend().await;
    let [shop, other, same_name] = ["Shop CA", "Another CA", "Shop CA"].map(Authority::new);
    let [own, other_own, old] = [2500, 2500, 2020].map(Authority::of_server);
    for (server, trusted) in [(&shop, &shop), (&own, &own)] {
        let port = TlsFront::start(&backend, server, 2500).await.port();
        assert_eq!(export(&client(&trusting("localhost", port, trusted))).await.accepted, 1);
    }
    let expired = "renew the server's certificate";
    let unknown = "its authority is not trusted";
    for RefusedCertificate { server, until_year, host, trusted, problem } in [
        RefusedCertificate {
            server: &shop,
            until_year: 2500,
            host: "localhost",
            trusted: &other,
            problem: "UnknownIssuer: its authority is not trusted",
        },
        RefusedCertificate {
            server: &shop,
            until_year: 2500,
            host: "localhost",
            trusted: &same_name,
            problem: unknown,
        },
        RefusedCertificate {
            server: &shop,
            until_year: 2500,
            host: "127.0.0.1",
            trusted: &shop,
            problem: "not valid for name",
        },
        RefusedCertificate {
            server: &shop,
            until_year: 2020,
            host: "localhost",
            trusted: &shop,
            problem: expired,
        },
        RefusedCertificate {
            server: &own,
            until_year: 2500,
            host: "127.0.0.1",
            trusted: &own,
            problem: "not valid for name",
        },
        RefusedCertificate {
            server: &own,
            until_year: 2500,
            host: "localhost",
            trusted: &other_own,
            problem: "give that certificate in LAMBDA_OTLP_CA_FILE",
        },
        RefusedCertificate {
            server: &old,
            until_year: 2020,
            host: "localhost",
            trusted: &old,
            problem: expired,
        },
    ] {
        let port = TlsFront::start(&backend, server, until_year).await.port();
        let (reason, ambiguous) = failure(&trusting(host, port, trusted)).await;
        assert!(reason.starts_with(&format!("cannot reach {host}:{port}: ")), "{reason}");
        assert!(reason.contains(problem), "{reason}\nexpected {problem}");
        assert_eq!(ambiguous, 0);
    }
}

#[tokio::test]
async fn connections_are_reused_until_dropped() {
    let backend = backend().await;
    let authority = Authority::new("Shop CA");
    let front = TlsFront::start(&backend, &authority, 2500).await;
    let client = client(&trusting("localhost", front.port(), &authority));
    for handshakes in [1, 2] {
        for _ in 0..2 {
            assert_eq!(export(&client).await.accepted, 1);
        }
        assert_eq!(front.handshakes(), handshakes);
        client.drop_connections().unwrap();
    }
}

#[tokio::test]
async fn transport_failures_are_reported_with_their_ambiguity() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(
        failure(&destination(&format!("http://{closed}"))).await,
        (format!("cannot reach {closed}: connection refused"), 0)
    );
    let (text, ambiguous) = failure(&destination("http://nowhere.invalid")).await;
    assert!(text.starts_with("cannot reach nowhere.invalid:80: "), "{text}");
    assert_eq!(ambiguous, 0);

    let backend = backend().await;
    let address = backend.address();
    backend.script([ScriptedResponse::CloseAfterBody]);
    let (text, ambiguous) = failure(&destination(backend.base())).await;
    assert!(text.starts_with(&format!("no answer from {address}: ")), "{text}");
    assert_eq!(ambiguous, 1);
    backend.script([ScriptedResponse::held()]);
    let mut impatient = destination(backend.base());
    impatient.request_timeout = Duration::from_millis(50);
    let late = format!("no answer from {address}: timed out");
    assert_eq!(failure(&impatient).await, (late, 1));
    // No proxy is on the way.
    backend.script([ScriptedResponse::Status(407)]);
    let (text, _) = failure(&destination(backend.base())).await;
    assert!(text.starts_with("answered 407 "), "{text}");
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn the_port_of_another_protocol_is_named() {
    let backend = backend().await;
    let of_grpc = format!("http://{}", GrpcFront::start(&backend).await.address());
    for (base, protocol, problem) in [
        (of_grpc.as_str(), Protocol::HttpProtobuf, "does not seem to speak HTTP/1.1"),
        (backend.base(), Protocol::Grpc, "does not seem to speak HTTP/2"),
    ] {
        let destination = destination(base);
        let transport = HttpTransport::with_protocol(&destination, protocol).unwrap();
        let client = Client::with_transport(&destination, transport).unwrap().without_retries();
        let reason = export(&client).await.parts[0].reason.to_string();
        assert!(reason.contains(problem), "{reason}");
    }
}
