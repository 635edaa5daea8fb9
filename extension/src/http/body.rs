//! The body of a request, read within a bound.

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// The size up to which an unneeded body is read. A client that is still writing would see a reset connection instead of the
/// answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;

/// The time limit for the next piece of a body. Over loopback it takes microseconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// The time for a piece that arrived during a freeze, which counts as silence.
const AFTER_FREEZE: Duration = Duration::from_millis(50);

/// The reason why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

pub(crate) struct Body<'c>(pub(super) &'c mut Unfinished);

/// A body that may be read in part.
pub(super) struct Unfinished {
    incoming: Incoming,
    /// The client waits for 100 Continue, which hyper sends at the first read.
    waits_to_be_asked: bool,
    broke_off: bool,
}

impl Unfinished {
    pub(super) fn new(incoming: Incoming, waits_to_be_asked: bool) -> Self {
        Self { incoming, waits_to_be_asked, broke_off: false }
    }

    /// Returns the next piece, or `None` at the end. Trailers are ignored.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.waits_to_be_asked = false;
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

    /// Reads the rest of the body, so that the client sees the answer and can go on. Returns `false` if a rest remains, because
    /// the client waits for 100 Continue or the rest is too large.
    pub(super) async fn drain(mut self) -> io::Result<bool> {
        if self.broke_off {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut drained = 0;
        while drained <= DRAINED_BYTES && !self.waits_to_be_asked {
            match self.next().await? {
                Some(piece) => drained += piece.len(),
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}

impl Body<'_> {
    pub(crate) fn length(&self) -> Option<usize> {
        let length = self.0.incoming.size_hint().exact()?;
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Reads the whole body, of at most `max_bytes`.
    pub(crate) async fn read(mut self, max_bytes: usize) -> Result<Vec<u8>, Unread> {
        let mut bytes = self.room(max_bytes)?;
        while let Some(piece) = self.next(bytes.len(), max_bytes).await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Allocates room for the announced length, of at most `max_bytes`.
    pub(crate) fn room(&self, max_bytes: usize) -> Result<Vec<u8>, Unread> {
        let length = self.length().unwrap_or_default();
        if length > max_bytes { Err(Unread::TooLarge) } else { Ok(Vec::with_capacity(length)) }
    }

    /// Returns the next piece after `taken` bytes, or `None` at the end.
    pub(crate) async fn next(
        &mut self,
        taken: usize,
        max_bytes: usize,
    ) -> Result<Option<Bytes>, Unread> {
        let piece = self.0.next().await.map_err(|_| Unread::BrokenOff)?;
        let is_too_large = piece.as_ref().is_some_and(|piece| taken + piece.len() > max_bytes);
        if is_too_large { Err(Unread::TooLarge) } else { Ok(piece) }
    }
}
