//! OTLP sent by each protocol, to a server that speaks it.

#[cfg(feature = "grpc")]
use crate::direct::spilled;
use crate::direct::{FIRST, MINUTE, delivered, runtime_done, sending_to, sink};
#[cfg(feature = "grpc")]
use crate::support::{Lambda, read};
use crate::support::{Script, invoke, shutdown, traces};
use lambda_otlp_extension::Count;
#[cfg(feature = "grpc")]
use lambda_otlp_extension::Counts;
#[cfg(feature = "grpc")]
use std::sync::Arc;
#[cfg(feature = "grpc")]
use tokio::net::TcpListener;
use wire::SignalKind;

#[tokio::test]
async fn json_is_sent_as_otlp_has_it() {
    let sink = sink().await;
    let mut lambda =
        sending_to(&sink, &[("LAMBDA_OTLP_PROTOCOL", "http/json")], Script::default()).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(lambda.protobuf(SignalKind::Traces, &traces(3)).await.status, 200);
    lambda.telemetry(&[runtime_done(FIRST)]).await;
    lambda.next().await.answer(200, shutdown("spindown"));
    let (ended, stdout, counts) = lambda.ended().await;
    ended.unwrap();
    assert_eq!((stdout.text().as_str(), counts.get(Count::Spilled)), ("", 0));
    assert_eq!(delivered(&sink), 3);
    for request in sink.requests() {
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["content-encoding"], "gzip");
    }
}

/// The server is the receiver of another extension, which writes what it gets.
#[cfg(feature = "grpc")]
#[tokio::test]
async fn grpc_is_sent_as_servers_of_it_take_it() {
    let mut backend = Lambda::start(&[]).await;
    let _next_of_backend = backend.next().await;
    let (lambda, stdout) = sent_to(&format!("http://{}", backend.receiver)).await;
    // The three, and the invocation's own.
    let written = |text: &str| -> usize {
        let requests = text.lines().map(read);
        let traces = requests.filter(|request| request.kind() == SignalKind::Traces);
        traces.map(|request| request.items()).sum()
    };
    assert_eq!(written(&backend.stdout.text()), 4);
    assert_eq!((stdout.as_str(), lambda.get(Count::Spilled)), ("", 0));
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn what_nobody_takes_over_grpc_is_in_the_log() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_, stdout) = sent_to(&format!("http://{closed}")).await;
    assert_eq!(spilled(&stdout), 4);
}

/// The counts and the lines of an extension that sends three spans of an invocation over gRPC, when it has ended.
#[cfg(feature = "grpc")]
async fn sent_to(endpoint: &str) -> (Arc<Counts>, String) {
    let own = [
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_ENDPOINT", endpoint),
        ("LAMBDA_OTLP_PROTOCOL", "grpc"),
    ];
    let mut lambda = Lambda::start(&own).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(lambda.protobuf(SignalKind::Traces, &traces(3)).await.status, 200);
    lambda.telemetry(&[runtime_done(FIRST)]).await;
    lambda.next().await.answer(200, shutdown("spindown"));
    let (ended, stdout, counts) = lambda.ended().await;
    ended.unwrap();
    (counts, stdout.text())
}
