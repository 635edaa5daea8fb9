//! The HTTP server of the OTLP receiver and the telemetry listener: hyper, with bounds.
//!
//! Its clients are the function's SDKs and Lambda, over loopback. They use a connection for many requests, across freezes. The
//! server supports HTTP/1.1, and HTTP/2 for gRPC. It sends no pings and has no timers, so connections survive a freeze. h2 itself
//! bounds floods of resets, empty frames, fragmented heads and pings.
//!
//! Source: RFC 9113, "HTTP/2".

mod connections;
mod service;

use crate::tasks;
use connections::RunningRequest;
pub(crate) use connections::{Clients, ConnectionLimits, Connections, is_out_of_descriptors};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
pub(crate) use hyper::http::request::Parts as Head;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
pub(crate) use service::{RequestBody, ResponseBody, Unread};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The size limit of a head. SDKs send a dozen headers.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The size up to which gRPC's libraries accept any metadata (gRPC over HTTP2, "soft limit"). SDKs send a few hundred bytes.
const MAX_METADATA_BYTES: u32 = 8 * 1024;
/// The maximum number of concurrent calls of a connection. Clients queue further ones.
const MAX_STREAMS: u32 = 32;
/// The unread bytes of a call. They are in memory before room is reserved.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The unread bytes of all calls of a connection. One call that waits for room leaves enough for two others.
const CONNECTION_WINDOW_BYTES: u32 = 3 * STREAM_WINDOW_BYTES;
/// The send buffer, enough for short answers.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

pub(crate) type Answer = Response<ResponseBody>;

pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(ResponseBody { body: body.into(), trailers: None });
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(crate) trait Respond: Send + Sync {
    fn respond<'c>(&'c self, head: &'c Head, body: &'c mut RequestBody) -> BoxedAnswer<'c>;

    /// Counts a request whose processing panicked, and returns the status of its answer.
    fn after_panic(&self) -> StatusCode;
}

pub(crate) type BoxedAnswer<'c> = Pin<Box<dyn Future<Output = Answer> + Send + 'c>>;

pub(crate) fn listen(
    socket: TcpListener,
    responder: Arc<dyn Respond>,
    clients: Clients,
    connections: &Arc<Connections>,
) -> JoinHandle<()> {
    tasks::spawn(serve(socket, responder, clients, Arc::clone(connections)))
}

/// The pause before another attempt to accept a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

async fn serve(
    listener: TcpListener,
    responder: Arc<dyn Respond>,
    clients: Clients,
    connections: Arc<Connections>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if is_out_of_descriptors(&error) {
                    connections.free_descriptor();
                }
                // Otherwise the connection failed early.
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        connections.add(clients, |used| {
            let responder = Arc::clone(&responder);
            let connections = Arc::clone(&connections);
            tasks::spawn(async move {
                // Send each response at once: it is one small packet.
                stream.set_nodelay(true).ok();
                serve_connection(stream, responder, || connections.begin_request(&used)).await;
            })
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    responder: Arc<dyn Respond>,
    begin_request: impl Fn() -> RunningRequest,
) {
    let service = service_fn(move |request| {
        let running = begin_request();
        let responder = Arc::clone(&responder);
        async move {
            let answer = service::respond(&*responder, request).await;
            drop(running);
            answer
        }
    });
    let mut server = auto::Builder::new(Calls);
    server
        .http1()
        // A client may close its side and still wait for the answer.
        .half_close(true)
        .auto_date_header(false)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD_BYTES);
    server
        .http2()
        .auto_date_header(false)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_METADATA_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    // A client that goes away, such as a killed process, is not an error.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

#[derive(Clone)]
struct Calls;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        drop(tasks::spawn(call));
    }
}

/// Returns the value of the first header with this name, if it is text.
pub(crate) fn header<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}
