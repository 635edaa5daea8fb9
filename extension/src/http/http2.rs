//! HTTP/2 for gRPC: hyper, with bounds.
//!
//! The server sends no pings and has no timers, so connections survive a freeze. h2 itself bounds floods of resets, empty frames,
//! fragmented heads and pings.
//!
//! Source: RFC 9113, "HTTP/2".

use super::service::Service;
use crate::tasks;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The maximum number of concurrent calls of a connection. Clients queue further ones.
const MOST_STREAMS: u32 = 32;
/// The limit of gRPC's own library (gRPC over HTTP2, "absolute max metadata size").
const MAX_HEAD_BYTES: u32 = 16 * 1024;
/// The unread bytes of a call. They are in memory before room is reserved.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The unread bytes of all calls of a connection. One call that waits for room leaves enough for two others.
const CONNECTION_WINDOW_BYTES: u32 = 3 * STREAM_WINDOW_BYTES;
/// The send buffer, enough for short answers.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Answers concurrent calls until the client or an error ends the connection.
pub(super) async fn serve(stream: TcpStream, service: Service) {
    let connection = http2::Builder::new(Calls)
        .auto_date_header(false)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    drop(connection.await);
}

/// Spawns a task per call.
#[derive(Clone)]
struct Calls;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        drop(tasks::spawn(call));
    }
}

#[cfg(test)]
mod tests {
    use crate::http::tests::server;
    use bytes::Bytes;
    use h2::SendStream;
    use h2::client::{ResponseFuture, SendRequest};
    use hyper::Request;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    type Client = SendRequest<Bytes>;

    async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Begins a request, unless the connection is closed.
    async fn begin(client: &Client, path: &str) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let mut client = client.clone().ready().await.ok()?;
        let request = Request::post(format!("http://localhost{path}")).body(()).unwrap();
        client.send_request(request, false).ok()
    }

    /// Reads an answer, if there is one.
    async fn read(answer: ResponseFuture) -> Option<String> {
        let mut body = answer.await.ok()?.into_body();
        let mut said = Vec::new();
        while let Some(piece) = body.data().await {
            said.extend_from_slice(&piece.ok()?);
        }
        String::from_utf8(said).ok()
    }

    async fn ask(client: &Client, path: &str, body: &[u8]) -> Option<String> {
        let (answer, mut sending) = begin(client, path).await?;
        sending.send_data(Bytes::copy_from_slice(body), true).ok()?;
        read(answer).await
    }

    #[tokio::test]
    async fn active_connections_stay_open_and_idle_ones_are_closed() {
        let address = server().await;
        let mut idle = Vec::new();
        for _ in 0..256 {
            let client = connect(address).await;
            assert!(ask(&client, "/a", b"").await.is_some());
            idle.push(client);
        }
        // One of two calls is over, so the connection is busy with the other.
        let busy = &idle[0];
        let (waiting, mut body) = begin(busy, "/b").await.unwrap();
        body.send_data(Bytes::from_static(b"1"), false).unwrap();
        assert!(ask(busy, "/a", b"").await.is_some());
        for _ in 0..256 {
            let client = connect(address).await;
            assert!(ask(&client, "/a", b"").await.is_some());
            idle.push(client);
        }
        body.send_data(Bytes::from_static(b"2"), true).unwrap();
        assert_eq!(read(waiting).await.unwrap(), "POST /b 12");
        assert!(ask(&idle[1], "/a", b"").await.is_none(), "it was idle for the longest");
        assert!(ask(idle.last().unwrap(), "/a", b"").await.is_some());
    }

    #[tokio::test]
    async fn a_rapid_reset_attack_affects_only_its_own_connection() {
        let address = server().await;
        let other = connect(address).await;
        assert!(ask(&other, "/a", b"").await.is_some());
        let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for stream in (1..20_000_u32).step_by(2).map(u32::to_be_bytes) {
            // HEADERS of `POST http://a/`, and RST_STREAM with CANCEL.
            frames.extend_from_slice(b"\0\0\x06\x01\x04");
            frames.extend_from_slice(&stream);
            frames.extend_from_slice(b"\x83\x86\x84\x41\x01a\0\0\x04\x03\0");
            frames.extend_from_slice(&stream);
            frames.extend_from_slice(b"\0\0\0\x08");
        }
        let mut hostile = TcpStream::connect(address).await.unwrap();
        // The server may close the connection early.
        hostile.write_all(&frames).await.ok();
        let mut received = Vec::new();
        let ended = hostile.read_to_end(&mut received);
        timeout(Duration::from_secs(20), ended).await.expect("it ends").ok();
        assert_eq!(ask(&other, "/a", b"1").await.unwrap(), "POST /a 1");
    }
}
