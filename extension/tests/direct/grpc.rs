//! OTLP over gRPC and TLS, with servers that offer HTTP/2, another protocol or none, and with untrusted certificates.

use crate::account::{Account, told};
use crate::stories::{ONE_FLUSH, invocations, sink};
use simulator::FunctionSpec;
use simulator::sink::Sink;
use simulator::sink::grpc::GrpcFront;
use simulator::sink::tls::{Authority, TlsFront};
use std::net::SocketAddr;

/// Runs a story over gRPC with a trusted server that offers these protocols in TLS.
async fn told_by(sink: &Sink, server: SocketAddr, protocols: &[&str]) -> (Account, u16) {
    let authority = Authority::new("Shop CA");
    let front = TlsFront::speaking(server, &authority, 2500, protocols).await;
    (told_trusting(sink, front.port(), &authority).await, front.port())
}

async fn told_trusting(sink: &Sink, port: u16, authority: &Authority) -> Account {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    let path = file.path().to_str().unwrap();
    let grpc = |spec: FunctionSpec| {
        spec.env("LAMBDA_OTLP_PROTOCOL", "grpc").env("LAMBDA_OTLP_CA_FILE", path)
    };
    let endpoint = format!("https://localhost:{port}");
    let account = told(sink, &endpoint, &invocations(5), grpc).await;
    account.balances(false);
    assert!(account.kept.iter().all(|kept| *kept < ONE_FLUSH), "{:?}", account.kept);
    account
}

/// The lines of the log that tell why nothing is delivered.
fn told_why(account: &Account) -> Vec<&String> {
    account.log.text.iter().filter(|line| line.contains("cannot deliver")).collect()
}

#[tokio::test]
async fn grpc_over_tls_works_with_h2_and_without_alpn() {
    // By name, and by saying nothing, as load balancers do that know TLS alone.
    for protocols in [&["h2"][..], &["http/1.1", "h2"], &[]] {
        let sink = sink().await;
        let server = GrpcFront::start(&sink).await;
        let (account, _) = told_by(&sink, server.address(), protocols).await;
        assert_eq!((account.delivered.len(), account.spilled()), (15, 0), "{account:?}");
        assert!(server.calls() > 0);
    }
}

#[tokio::test]
async fn a_server_without_http_2_is_reported_and_spans_spilled() {
    let advice = "the port does not seem to speak HTTP/2, is it the one for gRPC (4317)? else set LAMBDA_OTLP_PROTOCOL=http/protobuf";
    for protocols in [&["http/1.1"][..], &[]] {
        let sink = sink().await;
        let (account, port) = told_by(&sink, sink.address(), protocols).await;
        assert_eq!((account.delivered.len(), account.spilled()), (0, 15), "{account:?}");
        let [line] = *told_why(&account) else { panic!("{:?}", account.log.text) };
        assert!(line.contains(&format!("localhost:{port}")) && line.contains(advice), "{line}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_and_spans_spilled() {
    let sink = sink().await;
    let server = GrpcFront::start(&sink).await;
    let front =
        TlsFront::speaking(server.address(), &Authority::new("Shop CA"), 2500, &["h2"]).await;
    let account = told_trusting(&sink, front.port(), &Authority::new("Another CA")).await;
    assert_eq!((account.delivered.len(), account.spilled()), (0, 15), "{account:?}");
    let [line] = *told_why(&account) else { panic!("{:?}", account.log.text) };
    assert!(line.contains("its authority is not trusted"), "{line}");
    assert_eq!((server.calls(), front.handshakes()), (0, 0));
}
