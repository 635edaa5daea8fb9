//! The seam between deciding what to send and sending it.

use crate::answer::Answer;
use crate::client::ClientError;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::{fmt, sync::Arc, time::Duration};
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
    /// The destination's headers, the credentials among them.
    pub headers: HeaderMap,
    /// OpenObserve's stream. Only traces and logs have one: metrics have a stream a name.
    pub stream: Option<HeaderValue>,
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

    /// Uses no connection again that was made before. The default is for transports without connections.
    fn drop_connections(&self) -> Result<(), ClientError> {
        Ok(())
    }
}

impl<T: Transport + Send> Transport for Arc<T> {
    async fn send(&self, request: HttpRequest) -> Result<Answer, TransportError> {
        T::send(self, request).await
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        T::drop_connections(self)
    }
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
