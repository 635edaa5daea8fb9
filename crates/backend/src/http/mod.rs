//! One attempt of one request over HTTP: no retry, no redirects, bounded responses.

mod cause;
#[cfg(feature = "grpc")]
mod grpc;
mod json_stream;
mod own_certificate;
mod response;
mod transport;

use crate::destination::Compression;
use bytes::Bytes;
pub(crate) use cause::PERHAPS_TLS;
use http::{HeaderMap, HeaderName, HeaderValue};
pub use json_stream::{JsonStreamEvent, JsonStreamRecord, events_request};
pub use response::HttpResponse;
pub(crate) use response::NotOtlp;
use settings::Headers;
use std::fmt;
use std::time::Duration;
pub use transport::{HttpTransport, Protocol};
use wire::{Request, SignalKind};

/// The beginning of the text of a failed call by gRPC.
pub(crate) const GRPC_STATUS_TEXT: &str = "gRPC's status";

/// The reason why no client could be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A header of the destination is not valid in HTTP.
    #[error("header {name} contains characters that HTTP does not allow")]
    Header { name: String },
    /// TLS setup failed, for instance because the system has no certificates.
    #[error("cannot set up the HTTP client: {text}")]
    Build {
        /// The innermost cause.
        text: String,
    },
}

/// The request got no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    /// `true` if the body was sent at least in part, so that the backend may have the request.
    pub sent: bool,
    /// `true` if the connection was closed or reset instead of an answer.
    pub is_closed: bool,
    /// Host and cause: `cannot reach o2.example.com:443: connection refused`.
    pub text: String,
}

/// Converts a destination's headers and marks their values as secrets.
pub(crate) fn header_map(headers: &Headers) -> Result<HeaderMap, ClientError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let invalid = || ClientError::Header { name: name.to_owned() };
        let mut value =
            HeaderValue::from_bytes(value.expose().as_bytes()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?, value);
    }
    Ok(map)
}

/// One OTLP/HTTP request, ready to send.
#[derive(Clone)]
pub struct HttpRequest {
    /// Selects the URL.
    pub kind: SignalKind,
    pub items: usize,
    /// The result of [`Transport::encode`].
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
    /// Encodes the body of a request, for all its attempts: as protobuf by default.
    fn encode(&self, request: &Request, compression: Compression) -> Bytes {
        encoded(request.kind(), request.bytes(), compression)
    }

    fn send(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpResponse, TransportError>> + Send;

    /// Uses new connections from now on. Does nothing by default, for transports without connections.
    fn drop_connections(&self) -> Result<(), ClientError> {
        Ok(())
    }
}

fn encoded(kind: SignalKind, body: &[u8], compression: Compression) -> Bytes {
    match compression {
        Compression::None => Bytes::copy_from_slice(body),
        Compression::Gzip => wire::gzip::compress(gzip_level(kind), body).into(),
    }
}

/// The gzip level for a signal: 6, the default of gzip and of OpenTelemetry's exporters. Builds with `bulk` use level 1 for log
/// records: libdeflate's level 1 produces 9 % more bytes than its level 6 in two fifths of the time, and levels 2 and 3 are no
/// smaller than 1.
pub(crate) const fn gzip_level(kind: SignalKind) -> u32 {
    match kind {
        SignalKind::Logs if cfg!(feature = "bulk") => 1,
        SignalKind::Traces | SignalKind::Metrics | SignalKind::Logs => 6,
    }
}
