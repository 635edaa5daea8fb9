//! Distinguishes HTTP/2 from HTTP/1.1 by the first bytes of a connection.

use std::future::poll_fn;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// The connection preface of HTTP/2 (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns `true` if the connection begins with the preface, without consuming it. HTTP/1.1 has no method of this name.
pub(super) async fn speaks_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 4];
    let mut peeked = ReadBuf::new(&mut first);
    let bytes = poll_fn(|context| stream.poll_peek(context, &mut peeked)).await;
    bytes.is_ok_and(|bytes| bytes == 4) && PREFACE.starts_with(&first)
}
