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

#[derive(Clone)]
struct Calls;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        drop(tasks::spawn(call));
    }
}
