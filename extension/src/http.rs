//! HTTP/1.1 as Lambda speaks it with extensions: a server for loopback, and one request at a time to Lambda's APIs.

use crate::supervise::{self, Supervised};
use crate::vitals::Vitals;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) type Answer = Response<Full<Bytes>>;

/// An SDK holds one or two. Who comes beyond is turned away at once rather than kept waiting: that would be the function.
const MAX_CONNECTIONS: usize = 256;

/// Serves connections until the task is dropped. A panic ends one connection and is counted.
pub(crate) async fn serve<H, F>(listener: Arc<TcpListener>, vitals: Arc<Vitals>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while let Some(ended) = connections.try_join_next() {
            supervise::note("connection", &ended, &vitals);
        }
        let Ok((stream, _)) = listener.accept().await else {
            // About one connection that did not come to be, or no descriptors are left; the latter may pass.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if connections.len() >= MAX_CONNECTIONS {
            continue;
        }
        let handler = handler.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            // A client that goes away, as a killed process does, is no error of the server.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
            Supervised::Ended
        });
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// Reads a whole body of at most `max_bytes`. Of a larger one up to eight times as much is read and thrown away, because a
/// client that is still writing would see a reset connection instead of the answer.
pub(crate) async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<Vec<u8>, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(announced.min(max_bytes));
    let mut refused_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::BrokenOff)?.into_data() else { continue };
        if refused_bytes == 0 && bytes.len() + data.len() <= max_bytes {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
            refused_bytes += data.len();
            if refused_bytes > max_bytes.saturating_mul(8) {
                break;
            }
        }
    }
    if refused_bytes > 0 { Err(Unread::TooLarge) } else { Ok(bytes) }
}

/// An answer of this type.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// What Lambda answered.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Lambda's answers are small; the largest is an INVOKE event of under 1 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Sends one request on a connection of its own, and waits for the answer without a limit: `next` may be answered hours
/// later, on the other side of a freeze. On loopback a connection costs some 30 µs, and a fresh one is never stale.
pub(crate) async fn send(
    authority: &str,
    mut request: Request<Full<Bytes>>,
) -> io::Result<Received> {
    let host = HeaderValue::from_str(authority).map_err(io::Error::other)?;
    request.headers_mut().insert(header::HOST, host);
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = read_body(body, MAX_ANSWER_BYTES).await.map_err(|unread| {
            io::Error::other(format!("the answer's body is unreadable ({unread:?})"))
        })?;
        Ok(Received { status: head.status, headers: head.headers, body })
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        received = &mut exchange => received,
        // The connection ends when the answer has been read, or too early; the exchange knows which.
        _ = &mut connection => exchange.await,
    }
}
