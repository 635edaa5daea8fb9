//! A gRPC client, with h2 and by hand, so that it can break rules.

use crate::support::TIMEOUT;
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request, Version, header};
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(crate) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(crate) type Client = SendRequest<Bytes>;

pub(crate) async fn connect(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// Begins a call, and sends nothing of its message.
pub(crate) fn begin(
    client: &mut Client,
    method: &str,
    metadata: &[(&str, &str)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://localhost:4317{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    client.send_request(request.body(()).unwrap(), false).unwrap()
}

/// Calls with these bytes. Returns `HTTP status, content type, gRPC's status, gRPC's message`.
pub(crate) async fn call(
    client: &mut Client,
    method: &str,
    metadata: &[(&str, &str)],
    bytes: &[u8],
) -> Answer {
    let (answer, mut body) = begin(client, method, metadata);
    // The call may be over before all of its message is sent.
    body.send_data(Bytes::copy_from_slice(bytes), true).ok();
    read(answer).await
}

/// The answer to a call.
pub(crate) struct Answer {
    pub(crate) said: String,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: HeaderMap,
}

pub(crate) async fn read(answer: ResponseFuture) -> Answer {
    let reading = async {
        let (head, mut incoming) = answer.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = incoming.data().await {
            body.extend_from_slice(&piece.unwrap());
        }
        // Where there is no body the status may stand in the head.
        let trailers = incoming.trailers().await.unwrap();
        let behind = trailers.unwrap_or_else(|| head.headers.clone());
        let text = |of: &HeaderMap, name: &str| {
            of.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let said = [
            head.status.as_u16().to_string(),
            text(&head.headers, "content-type"),
            text(&behind, "grpc-status"),
            text(&behind, "grpc-message"),
        ];
        Answer { said: said.join(" ").trim_end().to_owned(), body, headers: head.headers }
    };
    tokio::time::timeout(TIMEOUT, reading).await.expect("an answer")
}
