//! The HTTP/1.1 server behind the OTLP receiver and the telemetry listener: hyper's, with the bounds that the function needs.
//! Clients that speak gRPC are told that it is not received.
//!
//! Its clients are the SDKs in the function and Lambda itself, over loopback: requests one after the other on connections that
//! live through freezes.

mod body;
mod connections;
mod grpc;

use crate::counts::Counts;
use crate::supervise::{self, Running};
use body::Unfinished;
pub(crate) use body::{Body, Unread};
use bytes::Bytes;
use connections::{Connections, Open};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
pub(crate) use hyper::http::request::Parts as Head;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
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
}

impl HttpResponse {
    pub(crate) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self { status, content_type, header: None, body: body.into() }
    }
}

/// Answers requests.
pub(crate) trait Respond: Send + Sync {
    fn respond<'c>(&'c self, request: Request<'c>) -> BoxedResponse<'c>;

    /// What a client that speaks gRPC is told, in at most 126 characters of ASCII and without `%`, asked for with each of its calls.
    fn refuse_grpc(&self) -> &'static str {
        ""
    }
}

pub(crate) type BoxedResponse<'c> = Pin<Box<dyn Future<Output = HttpResponse> + Send + 'c>>;

/// Serves connections for ever. A panic ends one connection and is counted; the task itself is started again.
pub(crate) fn listen(
    task: &'static str,
    socket: TcpListener,
    responder: Arc<dyn Respond>,
    counts: &Arc<Counts>,
) -> JoinHandle<()> {
    let (socket, serving) = (Arc::new(socket), Arc::clone(counts));
    supervise::restarting(task, Arc::clone(counts), move || {
        serve(Arc::clone(&socket), Arc::clone(&responder), Arc::clone(&serving))
    })
}

async fn serve(listener: Arc<TcpListener>, responder: Arc<dyn Respond>, counts: Arc<Counts>) {
    let (connections, tasks) = (Arc::new(Connections::default()), Arc::new(AtomicUsize::new(0)));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Either one connection failed before it was accepted, or the process has no descriptors left for now.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Where all connections are busy a further one is closed at once: the function would wait for it.
        let Some(open) = connections.open() else { continue };
        let responder = Arc::clone(&responder);
        let running = Running::begin("connection", &tasks, &counts);
        let number = open.number();
        let task = supervise::spawn(async move {
            let _running = running;
            serve_connection(stream, responder, &open).await;
        });
        connections.served_by(number, task.abort_handle());
    }
}

/// Answers one request after the other until the client or an error ends the connection.
async fn serve_connection(stream: TcpStream, responder: Arc<dyn Respond>, open: &Open) {
    // A response is one small packet, which must not wait for another.
    stream.set_nodelay(true).ok();
    if grpc::speaks_http2(&stream).await {
        drop(grpc::refuse(stream, &*responder).await);
        return;
    }
    let connection = http1::Builder::new()
        // A client may say that it sends no more, and still wait for the answer.
        .half_close(true)
        .auto_date_header(false)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(async |request| {
                open.set_busy(true);
                let response = respond(&*responder, request).await;
                open.set_busy(false);
                response
            }),
        );
    // A client that goes away, as a killed process does, is no error of the server.
    drop(connection.await);
}

/// Answers a request, and reads what its answer did not need. An error ends the connection without an answer.
async fn respond(
    responder: &dyn Respond,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, incoming) = request.into_parts();
    let waits_to_be_asked = expects_continue(&head) && !incoming.is_end_stream();
    let mut body = Unfinished::new(incoming, waits_to_be_asked);
    let answer = responder.respond(Request { head: &head, body: Body(&mut body) }).await;
    let is_read = body.drain().await?;
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some((name, value)) = answer.header {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !is_read {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn expects_continue(head: &Head) -> bool {
    head.version >= Version::HTTP_11
        && header(head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}

fn header<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
