//! Answers a request of HTTP/1.1 or HTTP/2.

use super::{Answer, Respond};
use crate::tasks;
use http_body_util::BodyExt as _;
use hyper::Version;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// Answers a request, and reads the rest of its body. An error ends the connection without an answer.
///
/// A panic ends this request. Its answer keeps the client from repeating it, unlike a broken connection.
pub(super) async fn respond(
    responder: &dyn Respond,
    request: hyper::Request<Incoming>,
) -> io::Result<Answer> {
    let (head, incoming) = request.into_parts();
    let mut body = RequestBody { incoming, broke_off: false };
    let responding = responder.respond(&head, &mut body);
    let mut answer = tasks::catch_future(responding)
        .await
        .unwrap_or_else(|| super::answer(responder.after_panic(), "text/plain", ""));
    // HTTP/2 clients understand an answer before the end of their body.
    let is_read = head.version == Version::HTTP_2 || body.drain().await?;
    if !is_read {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

pub(crate) struct ResponseBody {
    pub(super) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = std::mem::take(&mut self.body);
        let frame = if body.is_empty() {
            self.trailers.take().map(Frame::trailers)
        } else {
            Some(Frame::data(body))
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // A length would say that no trailers follow.
        if self.trailers.is_some() {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.body.len() as u64)
        }
    }
}

/// The size up to which an unneeded body is read. A client that is still writing would see a reset connection instead of the
/// answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;

/// The time limit for the next piece of a body. Over loopback it takes microseconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// The time for a piece that arrived during a freeze, which counts as silence.
const AFTER_FREEZE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// A body that may be read in part.
pub(crate) struct RequestBody {
    incoming: Incoming,
    broke_off: bool,
}

impl RequestBody {
    /// Returns the next piece, or `None` at the end. Trailers are ignored.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        // Trailers are the last piece.
        for silence in [LONGEST_SILENCE, AFTER_FREEZE] {
            if let Ok(frame) = timeout(silence, self.incoming.frame()).await {
                let Some(frame) = frame else { return Ok(None) };
                self.broke_off = frame.is_err();
                return Ok(frame.map_err(io::Error::other)?.into_data().ok());
            }
        }
        self.broke_off = true;
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Reads the rest of the body, so that the client sees the answer and can go on. Returns `false` if the rest is too large.
    async fn drain(mut self) -> io::Result<bool> {
        if self.broke_off {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut drained = 0;
        while drained <= DRAINED_BYTES {
            match self.piece().await? {
                Some(piece) => drained += piece.len(),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Returns the announced length, of at most `max_bytes`; 0 for a body without one.
    pub(crate) fn announced(&self, max_bytes: usize) -> Result<usize, Unread> {
        let exact_size = self.incoming.size_hint().exact().unwrap_or_default();
        let length = usize::try_from(exact_size).unwrap_or(usize::MAX);
        if length > max_bytes { Err(Unread::TooLarge) } else { Ok(length) }
    }

    /// Returns the next piece after `taken` bytes, or `None` at the end.
    pub(crate) async fn next(
        &mut self,
        taken: usize,
        max_bytes: usize,
    ) -> Result<Option<Bytes>, Unread> {
        let piece = self.piece().await.map_err(|_| Unread::BrokenOff)?;
        let is_too_large = piece.as_ref().is_some_and(|piece| taken + piece.len() > max_bytes);
        if is_too_large { Err(Unread::TooLarge) } else { Ok(piece) }
    }
}
