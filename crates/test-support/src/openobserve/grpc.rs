//! OTLP over gRPC in front of a [`FakeOpenObserve`], for tests: each call becomes a request over HTTP, and the response becomes
//! the call's. Panics if it cannot start. The metadata `organization` and `stream-name` have the meaning of OpenObserve.

#![expect(clippy::unwrap_used, reason = "a failure here is a mistake in a test")]

use crate::openobserve::FakeOpenObserve;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{SendResponse, handshake};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// The length of the message's prefix: a compression flag and the size.
const PREFIX_BYTES: usize = 5;

#[derive(Debug)]
pub struct GrpcFront {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl GrpcFront {
    /// Listens on loopback, without TLS.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(fake: &FakeOpenObserve) -> Self {
        Self::before(fake.address(), None).await
    }

    /// Passes each call on to another server too, and answers with its response. The fake gets the calls that it accepts.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn recording(fake: &FakeOpenObserve, server: String) -> Self {
        Self::before(fake.address(), Some(server.into())).await
    }

    async fn before(fake: SocketAddr, server: Option<Arc<str>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, fake, server.clone(), Arc::clone(&counted)));
            }
        });
        Self { address, calls }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn serve(
    stream: TcpStream,
    fake: SocketAddr,
    server: Option<Arc<str>>,
    calls: Arc<AtomicUsize>,
) {
    // Connections with another protocol are closed.
    let Ok(mut incoming) = handshake(stream).await else {
        return;
    };
    while let Some(Ok((call, respond))) = incoming.accept().await {
        calls.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(answer(call, respond, fake, server.clone()));
    }
}

async fn answer(
    call: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    fake: SocketAddr,
    server: Option<Arc<str>>,
) {
    let (head, mut body) = call.into_parts();
    let message = read(&mut body).await;
    let answered = match server {
        None => forwarded(&head, message, fake).await,
        Some(server) => match passed_on(&head, message.clone(), &server).await {
            Some((0, answered)) => {
                forwarded(&head, message, fake).await.map(|(status, _)| (status, answered))
            }
            refused => refused,
        },
    };
    let Some((status, answered)) = answered else {
        return;
    };
    let response = Response::builder().header(CONTENT_TYPE, "application/grpc").body(()).unwrap();
    let Ok(mut stream) = respond.send_response(response, false) else {
        return;
    };
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(answered.len()).unwrap());
    framed.put_slice(&answered);
    if status == 0 {
        drop(stream.send_data(framed.freeze(), false));
    }
    let name = HeaderName::from_static("grpc-status");
    let trailers = HeaderMap::from_iter([(name, HeaderValue::from(status))]);
    drop(stream.send_trailers(trailers));
}

async fn read(body: &mut RecvStream) -> Bytes {
    let mut message = BytesMut::new();
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
        message.extend_from_slice(&piece);
    }
    message.freeze()
}

/// The gRPC status and the message of a server; nothing if it closes the connection.
async fn passed_on(
    head: &http::request::Parts,
    message: Bytes,
    server: &str,
) -> Option<(u16, Bytes)> {
    let stream = TcpStream::connect(server).await.ok()?;
    let (sender, connection) = h2::client::handshake(stream).await.ok()?;
    let connection_task = tokio::spawn(connection);
    let uri = format!("http://{server}{}", head.uri.path());
    let mut request = Request::post(uri).body(()).unwrap();
    *request.headers_mut() = head.headers.clone();
    let (response, mut sent) = sender.ready().await.ok()?.send_request(request, false).ok()?;
    sent.send_data(message, true).ok()?;
    let (response_head, mut received) = response.await.ok()?.into_parts();
    let answered = read(&mut received).await;
    // A response without a message may have its status in the head.
    let trailers = received.trailers().await.ok()?.unwrap_or(response_head.headers);
    connection_task.abort();
    let status = trailers.get("grpc-status").and_then(|own| own.to_str().ok()?.parse().ok());
    Some((status.unwrap_or(2), answered.slice(PREFIX_BYTES.min(answered.len())..)))
}

/// The gRPC status and the fake's message; nothing if the fake closes the connection.
async fn forwarded(
    head: &http::request::Parts,
    message: Bytes,
    fake: SocketAddr,
) -> Option<(u16, Bytes)> {
    let services =
        [("TraceService", "traces"), ("MetricsService", "metrics"), ("LogsService", "logs")];
    let (_, signal) = services.iter().find(|(service, _)| head.uri.path().contains(service))?;
    let metadata = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let organization = metadata("organization").unwrap_or("default");
    let mut request = Request::post(format!("/api/{organization}/v1/{signal}"))
        .header("host", fake.to_string())
        .header(CONTENT_TYPE, "application/x-protobuf");
    if message.first() == Some(&1) {
        request = request.header(CONTENT_ENCODING, "gzip");
    }
    for name in [AUTHORIZATION, HeaderName::from_static("stream-name")] {
        if let Some(value) = head.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let body = Full::new(message.slice(PREFIX_BYTES.min(message.len())..));
    let stream = TokioIo::new(TcpStream::connect(fake).await.ok()?);
    let (mut sender, connection) = http1::handshake(stream).await.ok()?;
    let connection_task = tokio::spawn(connection);
    let response = sender.send_request(request.body(body).unwrap()).await.ok()?;
    let status = match response.status().as_u16() {
        200..=299 => 0,
        401 => 16,
        403 => 7,
        _ => 14,
    };
    let answered = response.into_body().collect().await.ok()?.to_bytes();
    connection_task.abort();
    Some((status, answered))
}
