//! The body of an answer, whole or broken on purpose.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Ends a connection without a (whole) answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed by the sink's script")]
pub(crate) struct Abandoned;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyShape {
    Whole,
    /// Half of the promised `Content-Length`; then the connection is closed.
    Half,
    /// This many bytes instead of the reply's body.
    Huge(u64),
}

#[derive(Debug)]
pub(crate) enum ResponseBody {
    Whole(Option<Bytes>),
    Half { first: Option<Bytes>, flushed: bool },
    Huge { left: u64 },
}

const PROMISED_BYTES: u64 = 64;
const GIVEN: &[u8] = &[0; 32];

static CHUNK: [u8; 16 * 1024] = [b' '; 16 * 1024];

impl ResponseBody {
    pub(crate) fn new(shape: BodyShape, body: Bytes) -> Self {
        match shape {
            BodyShape::Whole => Self::Whole(Some(body).filter(|body| !body.is_empty())),
            BodyShape::Half => {
                Self::Half { first: Some(Bytes::from_static(GIVEN)), flushed: false }
            }
            BodyShape::Huge(left) => Self::Huge { left },
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Abandoned;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Abandoned>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Half { first, flushed } => {
                if let Some(first) = first.take() {
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                if !*flushed {
                    // hyper flushes its buffer while the body is pending, and drops it when the body fails.
                    *flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(Abandoned)))
            }
            Self::Huge { left: 0 } => Poll::Ready(None),
            Self::Huge { left } => {
                let length =
                    usize::try_from(*left).map_or(CHUNK.len(), |left| left.min(CHUNK.len()));
                *left -= length as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK).slice(..length)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Huge { left: 0 })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(body) => body.as_ref().map_or(0, |body| body.len() as u64),
            Self::Half { .. } => PROMISED_BYTES,
            Self::Huge { left } => *left,
        })
    }
}
