//! The HTTP/1.1 server behind the OTLP receiver and the telemetry listener.
//!
//! Its clients are the SDKs in the function and Lambda itself, over loopback: requests one after the other on connections that
//! live through freezes. That is a small part of HTTP, and hyper's server is a tenth of the minimal extension's size.

mod body;
pub(crate) mod head;

use crate::counts::Counts;
use crate::supervise::{self, Running};
pub(crate) use body::{Body, Unread};
use body::{Framing, Leftover};
use head::Head;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An SDK holds one or two. Who comes beyond is turned away at once rather than kept waiting: that would be the function.
const MAX_CONNECTIONS: usize = 256;
/// SDKs send a dozen headers.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Room for one read.
const READ_BYTES: usize = 16 * 1024;

/// A request, its body not yet read.
pub(crate) struct Request<'c> {
    pub(crate) head: &'c Head,
    pub(crate) body: Body<'c>,
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// One more header.
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, header: None, body: body.into() }
    }
}

/// Answers requests.
pub(crate) trait Respond: Send + Sync {
    fn respond<'c>(&'c self, request: Request<'c>) -> BoxedResponse<'c>;
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
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // About one connection that did not come to be, or no descriptors are left; the latter may pass.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        // An answer is one small packet, which must not wait for another.
        stream.set_nodelay(true).ok();
        let responder = Arc::clone(&responder);
        let running = Running::begin("connection", &connections, &counts);
        tokio::spawn(async move {
            let _running = running;
            let mut connection = Connection { stream, buffer: Vec::new() };
            // A client that goes away, as a killed process does, is no error of the server.
            drop(connection.serve(&*responder).await);
        });
    }
}

/// A connection, and what was read of it and not yet used.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Answers one request after the other until the client or an error ends it.
    async fn serve(&mut self, responder: &dyn Respond) -> io::Result<()> {
        while let Some(head) = self.head().await? {
            let Some((head, mut framing)) = head else {
                let answer = HttpResponse::new(400, "text/plain", "the request is not HTTP/1.1\n");
                return self.answer(&answer, true).await;
            };
            let body = Body::new(self, &mut framing, head.expects_continue());
            let answer = responder.respond(Request { head: &head, body }).await;
            let leftover = body::drain(self, &mut framing, head.expects_continue()).await?;
            let closes = head.closes() || leftover == Leftover::Unread;
            self.answer(&answer, closes).await?;
            if closes {
                break;
            }
        }
        Ok(())
    }

    /// Reads a head; `None` where the client has no more requests, `Some(None)` where what it sends is none.
    async fn head(&mut self) -> io::Result<Option<Option<(Head, Framing)>>> {
        loop {
            if let Some(end) = head::find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = head.get(..end).and_then(Head::parse);
                return Ok(Some(
                    head.and_then(|head| Some((Framing::of(&head)?, head)))
                        .map(|(framing, head)| (head, framing)),
                ));
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Ok(Some(None));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads once; 0 where the client sends no more.
    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.buffer).await
    }

    async fn answer(&mut self, answer: &HttpResponse, closes: bool) -> io::Result<()> {
        let mut bytes = [
            "HTTP/1.1 ",
            &answer.status.to_string(),
            reason(answer.status),
            "\r\nContent-Type: ",
            answer.content_type,
            "\r\nContent-Length: ",
            &answer.body.len().to_string(),
        ]
        .concat()
        .into_bytes();
        if let Some((name, value)) = answer.header {
            bytes.extend_from_slice(["\r\n", name, ": ", value].concat().as_bytes());
        }
        let end: &[u8] = if closes { b"\r\nConnection: close\r\n\r\n" } else { b"\r\n\r\n" };
        bytes.extend_from_slice(end);
        bytes.extend_from_slice(&answer.body);
        self.stream.write_all(&bytes).await
    }
}

/// Behind the space that has to be there.
const fn reason(status: u16) -> &'static str {
    match status {
        200 => " OK",
        400 => " Bad Request",
        404 => " Not Found",
        405 => " Method Not Allowed",
        413 => " Payload Too Large",
        415 => " Unsupported Media Type",
        503 => " Service Unavailable",
        _ => " ",
    }
}

#[cfg(test)]
mod tests;
