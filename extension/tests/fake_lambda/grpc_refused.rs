//! gRPC clients of the minimal extension: each call ends at once with advice.

use crate::grpc_client::{Client, TRACES, call, connect};
use crate::support::{Lambda, shutdown, traces};
use lambda_otlp_extension::Count;
use std::net::SocketAddr;
use wire::SignalKind;

const SAID: &str = "200 application/grpc 12 gRPC is not received here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf";

async fn said(client: &mut Client, metadata: &str, message: &[u8]) -> String {
    let answer = call(client, TRACES, &[("metadata", metadata)], message).await;
    assert!(answer.body.is_empty() && answer.headers.contains_key("grpc-status"));
    answer.said
}

#[tokio::test]
async fn each_grpc_call_is_refused_with_the_variable_to_set() {
    let mut lambda = Lambda::start(&[]).await;
    let next = lambda.next().await;
    let mut client = connect(lambda.receiver).await;
    for _ in 0..3 {
        assert_eq!(said(&mut client, "short", &traces(1)).await, SAID);
    }
    // A head of several frames, and messages beyond the window that a connection begins with.
    assert_eq!(said(&mut client, &"x".repeat(40_000), b"").await, SAID);
    for _ in 0..5 {
        assert_eq!(said(&mut client, "long", &vec![0; 60_000]).await, SAID);
    }
    assert_eq!(lambda.protobuf(SignalKind::Traces, &traces(3)).await.status, 200);
    next.answer(200, shutdown("spindown"));
    let (_, stdout, counts) = lambda.ended().await;
    assert_eq!(stdout.lines(), [(SignalKind::Traces, 3)]);
    assert_eq!(counts.get(Count::RefusedGrpc), 9);
}

#[tokio::test]
async fn calls_to_the_grpc_port_are_refused_with_advice() {
    let mut lambda = Lambda::start(&[("OTEL_LAMBDA_RECEIVER_PORT", "4318")]).await;
    let next = lambda.next().await;
    let mut client = connect(SocketAddr::from(([127, 0, 0, 1], 4317))).await;
    assert_eq!(said(&mut client, "", &traces(1)).await, SAID);
    next.answer(200, shutdown("spindown"));
    lambda.ended().await.0.unwrap();
}
