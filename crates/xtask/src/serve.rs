//! HTTP/1.1 without TLS, for the checks: a server on loopback, and a client.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper_util::rt::TokioIo;
use local_lambda::HttpServer;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Answers requests until it is dropped. An error closes its connection.
pub(crate) async fn serve<S, A, F>(state: Arc<S>, answer: A) -> io::Result<HttpServer>
where
    S: Send + Sync + 'static,
    A: Fn(Arc<S>, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = anyhow::Result<Response<Full<Bytes>>>> + Send + 'static,
{
    HttpServer::listen(0, move |request| answer(Arc::clone(&state), request)).await
}

/// Sends a request to this `host:port`, on a connection of its own.
pub(crate) async fn send(
    authority: &str,
    mut request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Bytes>> {
    let stream = TcpStream::connect(authority)
        .await
        .with_context(|| format!("cannot connect to {authority}"))?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    let connection_task = tokio::spawn(connection);
    request.headers_mut().insert(http::header::HOST, authority.parse()?);
    let (head, incoming) = sender.send_request(request).await?.into_parts();
    let body = incoming.collect().await?.to_bytes();
    connection_task.abort();
    Ok(Response::from_parts(head, body))
}
