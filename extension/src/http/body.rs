//! The body of a request, read within a bound.

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// A body that nobody wanted is read up to this size, because a client that is still writing would see a reset connection
/// instead of the answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;

/// A client that says nothing for so long in the middle of a body has forgotten it. Over loopback the next piece comes in
/// microseconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// A freeze of the environment counts as silence: what has come meanwhile is read all the same.
const AFTER_FREEZE: Duration = Duration::from_millis(50);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// A body that waits in its connection.
pub(crate) struct Body<'c>(pub(super) &'c mut Unfinished);

/// How far a body was read.
pub(super) struct Unfinished {
    incoming: Incoming,
    /// The client sends it only when it is asked to, which hyper does at the first look at the body.
    waits_to_be_asked: bool,
    broke_off: bool,
}

impl Unfinished {
    pub(super) fn new(incoming: Incoming, waits_to_be_asked: bool) -> Self {
        Self { incoming, waits_to_be_asked, broke_off: false }
    }

    /// The next piece; `None` at the end. Trailers say nothing that is needed here.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.waits_to_be_asked = false;
        // Pieces of another kind than data are trailers, and the last.
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

    /// Reads what the answer did not need, so that the client sees the answer and can go on. Whether that was all: what was
    /// not asked for may never be sent, and more than the bound is not worth reading.
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
    /// Its length, if the client said it.
    pub(crate) fn length(&self) -> Option<usize> {
        let length = self.0.incoming.size_hint().exact()?;
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// All of it, if it has at most `max_bytes`.
    pub(crate) async fn read(mut self, max_bytes: usize) -> Result<Vec<u8>, Unread> {
        let mut bytes = self.room(max_bytes)?;
        while let Some(piece) = self.next(bytes.len(), max_bytes).await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// What its pieces are to be put into, if it has at most `max_bytes`.
    pub(crate) fn room(&self, max_bytes: usize) -> Result<Vec<u8>, Unread> {
        let length = self.length().unwrap_or_default();
        if length > max_bytes { Err(Unread::TooLarge) } else { Ok(Vec::with_capacity(length)) }
    }

    /// The next piece of a body of which `taken` bytes were taken; `None` at the end.
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
