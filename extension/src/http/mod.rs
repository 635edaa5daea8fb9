//! The HTTP server of the OTLP receiver and the telemetry listener: hyper, with bounds.
//!
//! Its clients are the function's SDKs and Lambda, over loopback. They use a connection for many requests, across freezes. The
//! server supports HTTP/1.1, and HTTP/2 for gRPC.

mod http2;
mod service;

use crate::tasks;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
pub(crate) use hyper::http::request::Parts as Head;
use hyper::server::conn::http1;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use service::Service;
pub(crate) use service::{Body, ResponseBody, Unread};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The size limit of a head. SDKs send a dozen headers.
const MAX_HEAD_BYTES: usize = 32 * 1024;

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
    fn respond<'c>(&'c self, head: &'c Head, body: &'c mut Body) -> BoxedAnswer<'c>;

    /// Counts a request whose processing panicked, and returns the status of its answer.
    fn after_panic(&self) -> StatusCode;
}

pub(crate) type BoxedAnswer<'c> = Pin<Box<dyn Future<Output = Answer> + Send + 'c>>;

pub(crate) fn listen(socket: TcpListener, responder: Arc<dyn Respond>) -> JoinHandle<()> {
    tasks::spawn(serve(socket, responder))
}

/// The maximum number of connections. SDKs use one or two, but some functions never close any.
const MOST: usize = 256;

/// The number of the last request on a connection, or of its beginning; the latest use has the highest number.
type LastUse = Arc<AtomicU64>;

async fn serve(listener: TcpListener, responder: Arc<dyn Respond>) {
    let uses = Arc::new(AtomicU64::new(0));
    let mut connections: Vec<(JoinHandle<()>, LastUse)> = Vec::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Either the connection failed early, or the process has no descriptors left at the moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        connections.retain(|(task, _)| !task.is_finished());
        if connections.len() >= MOST {
            let last_use = |at: &usize| connections.get(*at).map(|of| of.1.load(Ordering::Relaxed));
            let idle_longest = (0..connections.len()).min_by_key(last_use).unwrap_or_default();
            connections.swap_remove(idle_longest).0.abort();
        }
        let last_use = LastUse::default();
        let (responder, uses) = (Arc::clone(&responder), Arc::clone(&uses));
        let service = Service { responder, uses, last_use: Arc::clone(&last_use) };
        service.note_use();
        let task = tasks::spawn(async move {
            // Send each response at once: it is one small packet.
            stream.set_nodelay(true).ok();
            if speaks_http2(&stream).await {
                http2::serve(stream, service).await;
            } else {
                serve_http1(stream, service).await;
            }
        });
        connections.push((task, last_use));
    }
}

async fn serve_http1(stream: TcpStream, service: Service) {
    let connection = http1::Builder::new()
        // A client may close its side and still wait for the answer.
        .half_close(true)
        .auto_date_header(false)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away, such as a killed process, is not an error.
    drop(connection.await);
}

/// Returns the value of the first header with this name, if it is text.
pub(crate) fn header<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

/// The connection preface of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns `true` if the connection begins with the preface, without consuming it. HTTP/1.1 has no method of this name.
async fn speaks_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 4];
    let mut peeked = ReadBuf::new(&mut first);
    let bytes = poll_fn(|context| stream.poll_peek(context, &mut peeked)).await;
    bytes.is_ok_and(|bytes| bytes == 4) && PREFACE.starts_with(&first)
}
