//! OTLP sent by each protocol, to a server that speaks it.

use crate::direct::{delivered, sending_to, sink, spilled, three_spans};
use crate::support::{Lambda, Script, read};
use lambda_otlp_extension::{Count, Counts};
use std::sync::Arc;
use tokio::net::TcpListener;
use wire::SignalKind;

#[tokio::test]
async fn otlp_json_requests_are_gzipped_with_the_json_content_type() {
    let sink = sink().await;
    let json = [("LAMBDA_OTLP_PROTOCOL", "http/json"), ("LAMBDA_OTLP_BACKEND", "otlp")];
    let (printed, counts) = three_spans(sending_to(&sink, &json, Script::default()).await).await;
    assert_eq!((printed.as_str(), counts.get(Count::Spilled)), ("", 0));
    assert_eq!(delivered(&sink), 3);
    for request in sink.requests() {
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["content-encoding"], "gzip");
    }
}

/// The server is another extension's receiver, which writes the content.
#[tokio::test]
async fn spans_sent_over_grpc_are_accepted_by_a_grpc_receiver() {
    let mut backend = Lambda::start(&[]).await;
    let _next_of_backend = backend.next().await;
    let (printed, counts) = sent_to(&format!("http://{}", backend.receiver)).await;
    // The three, and the invocation's own.
    let written = |text: &str| -> usize {
        let requests = text.lines().map(read);
        let traces = requests.filter(|request| request.kind() == SignalKind::Traces);
        traces.map(|request| request.items()).sum()
    };
    assert_eq!(written(&backend.stdout.text()), 4);
    assert_eq!((printed.as_str(), counts.get(Count::Spilled)), ("", 0));
}

#[tokio::test]
async fn spans_are_spilled_if_the_grpc_server_is_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (printed, _) = sent_to(&format!("http://{closed}")).await;
    assert_eq!(spilled(&printed), 4);
}

/// As [`three_spans`], over gRPC.
async fn sent_to(endpoint: &str) -> (String, Arc<Counts>) {
    let own = [
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_ENDPOINT", endpoint),
        ("LAMBDA_OTLP_PROTOCOL", "grpc"),
    ];
    three_spans(Lambda::start(&own).await).await
}
