//! The body of a request, read within a bound.

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use std::io;

/// A body that nobody wanted is read up to this size, because a client that is still writing would see a reset connection
/// instead of the answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;

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
    async fn next(&mut self) -> hyper::Result<Option<Bytes>> {
        self.waits_to_be_asked = false;
        while let Some(frame) = self.incoming.frame().await {
            self.broke_off = frame.is_err();
            if let Ok(piece) = frame?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Reads what the answer did not need, so that the client sees the answer and can go on. Whether that was all: what was
    /// not asked for may never be sent, and more than the bound is not worth reading.
    pub(super) async fn drain(mut self) -> io::Result<bool> {
        if self.broke_off {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut drained = 0;
        while drained <= DRAINED_BYTES && !self.waits_to_be_asked {
            match self.next().await.map_err(io::Error::other)? {
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
    pub(crate) async fn read(self, max_bytes: usize) -> Result<Vec<u8>, Unread> {
        if self.length().is_some_and(|length| length > max_bytes) {
            return Err(Unread::TooLarge);
        }
        let mut bytes = Vec::with_capacity(self.length().unwrap_or_default());
        while let Some(piece) = self.0.next().await.map_err(|_| Unread::BrokenOff)? {
            if bytes.len() + piece.len() > max_bytes {
                return Err(Unread::TooLarge);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}
