//! One attempt of a request: its headers, reused connections, and failures.

use crate::requests::started;
use crate::tls_and_proxy::export;
use lambda_otlp_backend::{Client, DestinationConfig, HttpTransport};
use std::time::Duration;
use test_support::openobserve::{ScriptedResponse, Sink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

async fn sink() -> Sink {
    started(Sink::builder().user("root@example.com", "pass")).await
}

fn destination(base: &str) -> DestinationConfig {
    let mut destination = DestinationConfig::new(&Url::parse(base).unwrap());
    destination.headers.push("authorization", "Basic cm9vdEBleGFtcGxlLmNvbTpwYXNz").unwrap();
    destination.stream = Some("orders".to_owned());
    destination
}

fn client(destination: &DestinationConfig) -> Client<HttpTransport> {
    let transport = HttpTransport::new(destination).unwrap();
    let client = Client::with_transport(destination, transport).unwrap();
    client.without_retries()
}

/// The reason of a failed export, and whether the backend may have the request.
async fn failure(destination: &DestinationConfig) -> (String, usize) {
    let outcome = export(&client(destination)).await;
    assert_eq!(outcome.undelivered(), 1);
    (outcome.parts[0].reason.to_string(), outcome.ambiguous_items)
}

#[tokio::test]
async fn a_closed_idle_connection_is_replaced_without_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the client has seen the end.
            while stream.read(&mut head).await.is_ok_and(|read| read > 0) {}
        }
    });
    let client = client(&destination(&base));
    for _ in 0..2 {
        let outcome = export(&client).await;
        assert_eq!((outcome.accepted, outcome.requests_sent), (1, 1), "{outcome:?}");
    }
    server.await.unwrap();
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

    let sink = sink().await;
    let address = sink.address();
    sink.script([ScriptedResponse::CloseAfterBody]);
    let (text, ambiguous) = failure(&destination(sink.base())).await;
    assert!(text.starts_with(&format!("no answer from {address}: ")), "{text}");
    assert_eq!(ambiguous, 1);
    sink.script([ScriptedResponse::held()]);
    let mut impatient = destination(sink.base());
    impatient.request_timeout = Duration::from_millis(50);
    let late = format!("no answer from {address}: timed out");
    assert_eq!(failure(&impatient).await, (late, 1));
    // No proxy is on the way.
    sink.script([ScriptedResponse::Status(407)]);
    let (text, _) = failure(&destination(sink.base())).await;
    assert!(text.starts_with("answered 407 "), "{text}");
}
