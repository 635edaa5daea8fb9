//! What sends a request, seen from those who decide what to send: tests put their own in its place.

use super::{ClientError, HttpResponse, TransportError};
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
    /// OpenObserve's stream. Only traces and logs have one: each metric's name is a stream.
    pub stream: Option<HeaderValue>,
    /// The longest time until the whole response is there.
    pub timeout: Duration,
}

impl fmt::Debug for HttpRequest {
    /// Shows signal and size only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({}, {} bytes)", self.kind, self.body.len())
    }
}

/// Sends one request and gives its response. It does not retry, does not follow redirects, and does not read more than
/// 64 KiB of a body.
pub trait Transport: Sync {
    /// Sends the request.
    fn send(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpResponse, TransportError>> + Send;

    /// Makes new connections from now on. The default does nothing, for transports without connections.
    fn drop_connections(&self) -> Result<(), ClientError> {
        Ok(())
    }
}

impl<T: Transport + Send> Transport for Arc<T> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        T::send(self, request).await
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        T::drop_connections(self)
    }
}
