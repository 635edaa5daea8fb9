//! The smallest HTTP/1.1 server and client: their own allocations end with each exchange.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use local_lambda::HttpServer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers each request with method and path, and its body, on a port of this machine.
pub(crate) async fn serve<F>(
    answer: impl Fn(String, Bytes) -> F + Send + Sync + 'static,
) -> HttpServer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let answer = Arc::new(answer);
    let handler = move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (head, incoming) = request.into_parts();
            let body = incoming.collect().await.map(http_body_util::Collected::to_bytes);
            let asked = format!("{} {}", head.method, head.uri.path());
            answer(asked, body.unwrap_or_default()).await
        }
    };
    HttpServer::start(handler).await.unwrap()
}

/// A connection that is kept.
pub(crate) struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { address, sender }
    }

    /// Posts, and returns the status.
    pub(crate) async fn post(&mut self, path: &str, content_type: &str, body: Vec<u8>) -> u16 {
        self.post_encoded(path, content_type, "identity", body).await
    }

    pub(crate) async fn post_encoded(
        &mut self,
        path: &str,
        content_type: &str,
        content_encoding: &str,
        body: Vec<u8>,
    ) -> u16 {
        let request = Request::post(path)
            .header("host", self.address.to_string())
            .header("content-type", content_type)
            .header("content-encoding", content_encoding)
            .body(Full::new(body.into()))
            .unwrap();
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        answer.into_body().collect().await.unwrap();
        status
    }
}
