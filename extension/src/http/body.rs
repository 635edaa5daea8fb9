//! The body of a request: by its length or in chunks, within a bound.

use super::Connection;
use super::head::{Head, chunk_size, find};
use std::io;
use tokio::io::AsyncWriteExt as _;

/// A body that nobody wanted is read up to this size, because a client that is still writing would see a reset connection
/// instead of the answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;
/// Sizes of chunks and trailers are short.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// How much of a body is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    /// The size of a chunk, and then the chunk.
    Chunked,
    /// So many bytes of a chunk, and more chunks.
    Chunk(usize),
    /// Nothing.
    Done,
}

impl Framing {
    /// What the head says; `None` where it says it in two ways (RFC 9112, 6.3).
    pub(crate) fn of(head: &Head) -> Option<Self> {
        let mut encodings = head.all("transfer-encoding");
        let mut lengths = head.all("content-length");
        match (encodings.next(), lengths.next()) {
            (None, None) => Some(Self::Done),
            (Some(encoding), None) => {
                let is_chunked =
                    encoding.eq_ignore_ascii_case("chunked") && encodings.next().is_none();
                is_chunked.then_some(Self::Chunked)
            }
            (None, Some(length)) => {
                let is_number =
                    !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let is_one = lengths.all(|other| other == length);
                length.parse().ok().filter(|_| is_number && is_one).map(Self::Length)
            }
            (Some(_), Some(_)) => None,
        }
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// What is left of a body when its request has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// Nothing: the next request follows.
    Nothing,
    /// More than is worth reading.
    Unread,
}

/// A body that waits in its connection.
pub(crate) struct Body<'c> {
    connection: &'c mut Connection,
    framing: &'c mut Framing,
    expects_continue: bool,
}

impl<'c> Body<'c> {
    pub(crate) fn new(
        connection: &'c mut Connection,
        framing: &'c mut Framing,
        expects_continue: bool,
    ) -> Self {
        Self { connection, framing, expects_continue }
    }

    /// Its length, if the client said it.
    pub(crate) fn length(&self) -> Option<usize> {
        match *self.framing {
            Framing::Length(length) => Some(usize::try_from(length).unwrap_or(usize::MAX)),
            Framing::Done => Some(0),
            Framing::Chunked | Framing::Chunk(_) => None,
        }
    }

    /// All of it, if it has at most `max_bytes`.
    pub(crate) async fn read(self, max_bytes: usize) -> Result<Vec<u8>, Unread> {
        if self.length().is_some_and(|length| length > max_bytes) {
            return Err(Unread::TooLarge);
        }
        if self.expects_continue && *self.framing != Framing::Done {
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.connection.stream.write_all(go_on).await.map_err(|_| Unread::BrokenOff)?;
        }
        let mut bytes = Vec::with_capacity(self.length().unwrap_or_default());
        loop {
            let piece = self.connection.piece(self.framing).await;
            let piece = piece.map_err(|_| Unread::BrokenOff)?;
            if piece == 0 {
                return Ok(bytes);
            }
            if bytes.len() + piece > max_bytes {
                self.connection.buffer.drain(..piece);
                return Err(Unread::TooLarge);
            }
            bytes.extend(self.connection.buffer.drain(..piece));
        }
    }
}

/// Reads what the answer did not need, so that the client sees the answer and can go on.
pub(crate) async fn drain(
    connection: &mut Connection,
    framing: &mut Framing,
    expects_continue: bool,
) -> io::Result<Leftover> {
    if expects_continue && *framing != Framing::Done {
        // It was not asked for, and may never be sent.
        return Ok(Leftover::Unread);
    }
    let mut drained = 0;
    while drained <= DRAINED_BYTES {
        let piece = connection.piece(framing).await?;
        if piece == 0 {
            return Ok(Leftover::Nothing);
        }
        connection.buffer.drain(..piece);
        drained += piece;
    }
    Ok(Leftover::Unread)
}

impl Connection {
    /// How many bytes at the beginning of the buffer are the body's next; 0 at its end. The caller takes them out.
    async fn piece(&mut self, framing: &mut Framing) -> io::Result<usize> {
        loop {
            match framing {
                Framing::Done => return Ok(0),
                Framing::Length(0) => *framing = Framing::Done,
                Framing::Length(left) => {
                    let piece = self.some(usize::try_from(*left).unwrap_or(usize::MAX)).await?;
                    *left -= piece as u64;
                    return Ok(piece);
                }
                Framing::Chunk(0) => {
                    if !self.line().await?.is_empty() {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    *framing = Framing::Chunked;
                }
                Framing::Chunk(left) => {
                    let piece = self.some(*left).await?;
                    *left -= piece;
                    return Ok(piece);
                }
                Framing::Chunked => {
                    let size = chunk_size(&self.line().await?).ok_or(io::ErrorKind::InvalidData)?;
                    if size > 0 {
                        *framing = Framing::Chunk(size);
                        continue;
                    }
                    // Trailers say nothing that is needed here.
                    while !self.line().await?.is_empty() {}
                    *framing = Framing::Done;
                }
            }
        }
    }

    /// How many of these bytes are in the buffer: at least one.
    async fn some(&mut self, most: usize) -> io::Result<usize> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.buffer.len().min(most))
    }

    /// Takes a line out of the buffer, without its end.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_framed_in_one_way_only() {
        let check = |headers: &str, expected| {
            let head = Head::parse(format!("POST / HTTP/1.1\r\n{headers}").trim_end().as_bytes());
            assert_eq!(Framing::of(&head.unwrap()), expected, "{headers:?}");
        };
        check("", Some(Framing::Done));
        check("Content-Length: 7", Some(Framing::Length(7)));
        check("Content-Length: 7\r\ncontent-length: 7", Some(Framing::Length(7)));
        check("Content-Length: 7\r\nContent-Length: 8", None);
        check("Content-Length: +7", None);
        check("Content-Length: 7, 7", None);
        check("Content-Length: 99999999999999999999", None);
        check("Transfer-Encoding: Chunked", Some(Framing::Chunked));
        check("Transfer-Encoding: gzip, chunked", None);
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", None);
        check("Transfer-Encoding: chunked\r\nContent-Length: 7", None);
    }
}
