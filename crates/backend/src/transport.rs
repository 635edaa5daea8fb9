//! The seam between deciding what to send and sending it.

use crate::answer::Answer;
use bytes::Bytes;
use std::{fmt, time::Duration};
use wire::SignalKind;

/// One OTLP/HTTP request, ready to be sent.
#[derive(Clone)]
pub struct HttpRequest {
    /// Chooses the URL.
    pub kind: SignalKind,
    /// The encoded `Export…ServiceRequest`.
    pub body: Bytes,
    /// Whether the body is one gzip member.
    pub gzip: bool,
    /// The longest time until the whole answer is there.
    pub timeout: Duration,
}

impl fmt::Debug for HttpRequest {
    /// Sizes only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({}, {} bytes)", self.kind, self.body.len())
    }
}

/// Sends one request and gives its answer. It does not retry, does not follow redirects, and does not read more than
/// [`MAX_ANSWER_BYTES`] of a body.
pub trait Transport: Sync {
    /// Sends the request.
    fn send(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<Answer, TransportError>> + Send;
}

/// How much of an answer's body is kept: an OTLP answer is a few hundred bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    /// Whether the backend may have the request all the same: the body, or part of it, was sent.
    pub sent: bool,
    /// Host and cause: `cannot reach o2.example.com:443: connection refused`.
    pub text: String,
}
