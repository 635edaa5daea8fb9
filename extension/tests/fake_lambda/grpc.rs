//! Clients that speak gRPC, which is not received: each call ends at once with what to set.

use crate::support::{Lambda, TIMEOUT, shutdown, traces};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Version, header};
use lambda_otlp_extension::Count;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use wire::SignalKind;

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const SAID: &str = "200 application/grpc 12 gRPC is not received here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf";

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// Calls the trace service; status, content type, gRPC's status and message of the answer, which has neither body nor trailers.
async fn call(client: &mut SendRequest<Bytes>, metadata: &str, message: &[u8]) -> String {
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://localhost:4317{METHOD}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header("metadata", metadata)
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    // The call may be over before all of its message is sent.
    body.send_data(Bytes::copy_from_slice(message), true).ok();
    let answer = tokio::time::timeout(TIMEOUT, answer).await.expect("an answer").unwrap();
    assert!(answer.body().is_end_stream());
    let text = |name: &str| answer.headers()[name].to_str().unwrap();
    let (status, message) = (text("grpc-status"), text("grpc-message"));
    format!("{} {} {status} {message}", answer.status().as_u16(), text("content-type"))
}

#[tokio::test]
async fn each_call_of_a_client_that_speaks_grpc_ends_at_once_with_what_to_set() {
    let mut lambda = Lambda::start(&[]).await;
    let next = lambda.next().await;
    let mut client = connect(lambda.receiver).await;
    for _ in 0..3 {
        assert_eq!(call(&mut client, "short", &traces(1)).await, SAID);
    }
    // A head of several frames, and messages beyond the window that a connection begins with.
    assert_eq!(call(&mut client, &"x".repeat(40_000), b"").await, SAID);
    for _ in 0..5 {
        assert_eq!(call(&mut client, "long", &vec![0; 60_000]).await, SAID);
    }
    assert_eq!(lambda.protobuf(SignalKind::Traces, &traces(3)).await.status, 200);
    next.answer(200, shutdown("spindown"));
    let (_, stdout, counts) = lambda.ended().await;
    assert_eq!(stdout.lines(), [(SignalKind::Traces, 3)]);
    assert_eq!(counts.get(Count::RefusedGrpc), 9);
}

#[tokio::test]
async fn grpcs_own_port_is_answered_beside_the_default_one() {
    let mut lambda = Lambda::start(&[("OTEL_LAMBDA_RECEIVER_PORT", "4318")]).await;
    let next = lambda.next().await;
    let mut client = connect(SocketAddr::from(([127, 0, 0, 1], 4317))).await;
    assert_eq!(call(&mut client, "", &traces(1)).await, SAID);
    next.answer(200, shutdown("spindown"));
    lambda.ended().await.0.unwrap();
}
