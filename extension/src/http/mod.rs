//! The HTTP server behind the OTLP receiver and the telemetry listener: hyper's, with the bounds that the function needs.
//! A connection speaks HTTP/1.1, or HTTP/2 as clients of gRPC do, who are told by the minimal extension that it is not received.
//!
//! Its clients are the SDKs in the function and Lambda itself, over loopback: requests one after the other on connections that
//! live through freezes.

mod body;
mod connections;
#[cfg(not(feature = "grpc"))]
mod grpc_refusal;
#[cfg(feature = "grpc")]
mod http2;
mod preface;
mod service;

use crate::tasks;
pub(crate) use body::{Body, Unread};
use connections::Connections;
use hyper::StatusCode;
#[cfg(feature = "grpc")]
use hyper::header::HeaderMap;
use hyper::header::HeaderName;
pub(crate) use hyper::http::request::Parts as Head;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use service::Service;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// SDKs send a dozen headers.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// A request, its body not yet read.
pub(crate) struct Request<'c> {
    pub(crate) head: &'c Head,
    pub(crate) body: Body<'c>,
}

impl Request<'_> {
    /// The value of a header, if it is text; of several the first.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    /// One more header.
    pub(crate) header: Option<(HeaderName, &'static str)>,
    pub(crate) body: Vec<u8>,
    /// What stands behind the body, in HTTP/2. The minimal extension leaves out 8 kB of hyper with it.
    #[cfg(feature = "grpc")]
    pub(crate) trailers: Option<HeaderMap>,
}

impl HttpResponse {
    pub(crate) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            status,
            content_type,
            header: None,
            body: body.into(),
            #[cfg(feature = "grpc")]
            trailers: None,
        }
    }
}

/// Answers requests.
pub(crate) trait Respond: Send + Sync {
    fn respond<'c>(&'c self, request: Request<'c>) -> BoxedResponse<'c>;

    /// What a client that speaks gRPC is told where it is not received, in at most 126 characters of ASCII and without `%`, asked for with each of its calls.
    #[cfg(not(feature = "grpc"))]
    fn refuse_grpc(&self) -> &'static str {
        ""
    }
}

pub(crate) type BoxedResponse<'c> = Pin<Box<dyn Future<Output = HttpResponse> + Send + 'c>>;

/// Serves connections for ever.
pub(crate) fn listen(socket: TcpListener, responder: Arc<dyn Respond>) -> JoinHandle<()> {
    tasks::spawn(serve(socket, responder))
}

async fn serve(listener: TcpListener, responder: Arc<dyn Respond>) {
    let connections = Arc::new(Connections::default());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Either one connection failed before it was accepted, or the process has no descriptors left for now.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Where all connections are busy a further one is closed at once: the function would wait for it.
        let Some(open) = connections.open() else { continue };
        let number = open.number();
        let service = Service { responder: Arc::clone(&responder), open: Arc::new(open) };
        let task = tasks::spawn(async move {
            // A response is one small packet, which must not wait for another.
            stream.set_nodelay(true).ok();
            if !preface::speaks_http2(&stream).await {
                serve_http1(stream, service).await;
                return;
            }
            #[cfg(feature = "grpc")]
            http2::serve(stream, service).await;
            #[cfg(not(feature = "grpc"))]
            drop(grpc_refusal::refuse(stream, &*service.responder).await);
        });
        connections.served_by(number, task.abort_handle());
    }
}

/// Answers one request after the other until the client or an error ends the connection.
async fn serve_http1(stream: TcpStream, service: Service) {
    let connection = http1::Builder::new()
        // A client may say that it sends no more, and still wait for the answer.
        .half_close(true)
        .auto_date_header(false)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away, as a killed process does, is no error of the server.
    drop(connection.await);
}

fn header<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
