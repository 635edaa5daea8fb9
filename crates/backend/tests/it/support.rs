//! Expectations shared by both transports.

use lambda_otlp_backend::{Client, DestinationConfig, Outcome, OwnAuthority, Transport};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::io::Write as _;
use std::time::Duration;
use test_support::openobserve::Sink;
use test_support::tls::{Authority, TlsFront};
use tokio::time::Instant;
use wire::Request;

/// The sinks' current time.
pub(crate) const NOW: u64 = 1_785_500_000_000_000_000;

/// The path as the forwarder finds it in its package.
pub(crate) fn trusting(authority: &Authority) -> OwnAuthority {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    OwnAuthority::from_file(file.path()).unwrap()
}

/// One record.
pub(crate) async fn export<T: Transport>(client: &Client<T>) -> Outcome {
    let record = LogRecord { time_unix_nano: NOW, ..Default::default() };
    let request = Request::of_log_records(None, vec![record]);
    client.export(None, request, Instant::now() + Duration::from_secs(10)).await
}

/// One handshake for two exports, and another after the connections were dropped.
pub(crate) async fn keeps_connections_until_they_are_dropped<T: Transport>(
    client: &Client<T>,
    front: &TlsFront,
) {
    let export_twice = async || {
        for _ in 0..2 {
            assert_eq!(export(client).await.accepted, 1);
        }
        front.handshakes()
    };
    assert_eq!(export_twice().await, 1);
    client.drop_connections().unwrap();
    assert_eq!(export_twice().await, 2);
}

/// A self-signed certificate is trusted if the file contains exactly that one. Its name and dates count.
pub(crate) async fn trusts_a_self_signed_server_by_its_own_certificate<T: Transport>(
    sink: &Sink,
    destination: fn(&str) -> DestinationConfig,
    client: fn(&DestinationConfig) -> Client<T>,
) {
    let export_to = async |host: &str, until_year, is_own| {
        let server = Authority::of_server(until_year);
        let port = TlsFront::start(sink, &server, until_year).await.port();
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
pub(crate) async fn verifies_certificates<T: Transport>(
    sink: &Sink,
    destination: fn(&str) -> DestinationConfig,
    client: fn(&DestinationConfig) -> Client<T>,
) {
    let authority = Authority::new("Shop CA");
    let port = TlsFront::start(sink, &authority, 2500).await.port();
    let expired = TlsFront::start(sink, &authority, 2020).await.port();
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
