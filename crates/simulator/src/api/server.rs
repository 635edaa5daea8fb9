//! The HTTP/1.1 server behind the Runtime API and the invoke endpoint.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A listening server on a free port of the loopback interface; dropping it closes every connection.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<H, F>(handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::new(handler)));
        Ok(Self { address, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<H, F>(listener: TcpListener, handler: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // One connection was never made, or this process has no file descriptor left, which may pass.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let handler = Arc::clone(&handler);
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
        });
    }
}

/// A request's whole body and the trailers of a chunked one.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) trailers: HeaderMap,
}

pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// Reads a whole body. If it is larger than `max_bytes`, the rest is read and thrown away, up to eight times the
/// limit: a client that is still writing would see a reset connection instead of the answer.
pub(crate) async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<Body, Unread> {
    let mut bytes = BytesMut::new();
    let mut trailers = HeaderMap::new();
    let mut refused_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Unread::BrokenOff)?.into_data() {
            Ok(data) if refused_bytes == 0 && bytes.len() + data.len() <= max_bytes => {
                bytes.extend_from_slice(&data);
            }
            Ok(data) => {
                refused_bytes += data.len();
                if refused_bytes > max_bytes.saturating_mul(8) {
                    break;
                }
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    if refused_bytes > 0 {
        Err(Unread::TooLarge)
    } else {
        Ok(Body { bytes: bytes.freeze(), trailers })
    }
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}

/// An error in the form that the Runtime API and the invoke endpoint give it.
pub(crate) fn error(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    json(
        status,
        serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string(),
    )
}
