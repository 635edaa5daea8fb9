//! Refuses gRPC calls in the minimal extension, with advice in the status message.
//!
//! An SDK that cannot connect, or whose connection is closed, retries until its timeout, and the invocation waits for it. The
//! status UNIMPLEMENTED ends its export at once. The code reads only the necessary frames of HTTP/2, and no header fields.
//!
//! Sources: RFC 9113 (frames), RFC 7541 (header fields), "gRPC over HTTP2" (`Trailers-Only`), OTLP 1.x ("Failures").

use super::Respond;
use super::preface::PREFACE;
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest frame, unless the server's settings allow longer ones.
const MAX_PAYLOAD_BYTES: usize = 16 * 1024;
/// A frame's head has nine bytes.
const BUFFER_BYTES: usize = 9 + MAX_PAYLOAD_BYTES;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200`, `content-type: application/grpc`, `grpc-status: 12` (UNIMPLEMENTED) and the name of `grpc-message`, as HPACK
/// writes them without its dynamic table. The value follows, behind a byte with its length.
const REFUSAL: &[u8] =
    b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x0212\x00\x0cgrpc-message";

/// Refuses call after call until the client or an error ends the connection.
pub(super) async fn refuse(mut stream: TcpStream, responder: &dyn Respond) -> io::Result<()> {
    let mut received = Vec::with_capacity(BUFFER_BYTES);
    let mut conversation = Conversation::default();
    while stream.read_buf(&mut received).await? > 0 {
        let mut answer = Vec::new();
        while let Some(taken) = conversation.step(&received, &mut answer, responder) {
            received.drain(..taken);
        }
        // The rest is the beginning of a frame, whose length is bounded.
        if received.len() > BUFFER_BYTES {
            break;
        }
        stream.write_all(&answer).await?;
    }
    Ok(())
}

/// How far a client has come.
#[derive(Default)]
struct Conversation {
    has_begun: bool,
    last_refused: u32,
}

impl Conversation {
    /// Answers the preface or the first frame. Returns its length, if it is complete.
    fn step(
        &mut self,
        received: &[u8],
        answer: &mut Vec<u8>,
        responder: &dyn Respond,
    ) -> Option<usize> {
        if !self.has_begun {
            if !received.starts_with(PREFACE) {
                return None;
            }
            self.has_begun = true;
            frame(answer, SETTINGS, 0, 0, &[]);
            return Some(PREFACE.len());
        }
        let (&[l0, l1, l2, kind, flags, s0, s1, s2, s3], rest) = received.split_first_chunk()?;
        let length = [0, l0, l1, l2];
        let payload = rest.get(..u32::from_be_bytes(length) as usize)?;
        let taken = received.len() - rest.len() + payload.len();
        // The highest bit has no meaning.
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & (u32::MAX >> 1);
        match kind {
            SETTINGS if flags & ACK == 0 => frame(answer, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(answer, PING, ACK, 0, payload),
            // The client may send as much again. The windows of streams are left alone, which are over.
            DATA if !payload.is_empty() => frame(answer, WINDOW_UPDATE, 0, 0, &length),
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 && stream > self.last_refused => {
                self.last_refused = stream;
                let message = responder.refuse_grpc();
                let mut fields = REFUSAL.to_vec();
                fields.push(u8::try_from(message.len()).unwrap_or_default());
                fields.extend_from_slice(message.as_bytes());
                frame(answer, HEADERS, END_STREAM | END_HEADERS, stream, &fields);
                // NO_ERROR tells the client to stop sending its message.
                frame(answer, RST_STREAM, 0, stream, &[0; 4]);
            }
            _ => {}
        }
        Some(taken)
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
