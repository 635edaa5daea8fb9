//! The trait between delivery decisions and HTTP. Tests implement it, too.

use super::{ClientError, HttpResponse, TransportError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::{fmt, sync::Arc, time::Duration};
use wire::SignalKind;

/// One OTLP/HTTP request, ready to send.
#[derive(Clone)]
pub struct HttpRequest {
    /// Selects the URL.
    pub kind: SignalKind,
    /// The encoded `Export…ServiceRequest`.
    pub body: Bytes,
    /// `true` if the body is one gzip member.
    pub gzip: bool,
    /// The destination's headers, including credentials.
    pub headers: HeaderMap,
    /// OpenObserve's stream, for traces and logs only: each metric's name is a stream.
    pub stream: Option<HeaderValue>,
    /// The request should end within this time, with its response or an error that names the host.
    pub timeout: Duration,
}

impl fmt::Debug for HttpRequest {
    /// Shows signal and size only, because the content belongs to a customer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({}, {} bytes)", self.kind, self.body.len())
    }
}

/// Sends one request and returns its response. Does not retry or follow redirects, and reads at most 64 KiB of the body.
pub trait Transport: Sync {
    fn send(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpResponse, TransportError>> + Send;

    /// Uses new connections from now on. Does nothing by default, for transports without connections.
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
