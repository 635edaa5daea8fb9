//! OTLP over HTTP/1.1 with hyper and rustls only, for the extension: far smaller than reqwest's transport, and without C code.
//!
//! It also speaks OTLP over gRPC. Connections serve one request after another, and a cancelled request
//! closes its connection.

mod aws_transport;
mod connection;
mod exchange;
mod grpc;
mod json_stream;
mod proxy;
mod tls;

use super::cause::{cause, host_and_port, through};
use super::response::{BoundedBody, MAX_RESPONSE_BYTES};
use super::{ClientError, HttpRequest, HttpResponse, Transport, TransportError};
use crate::destination::{Compression, DestinationConfig, Endpoints, STREAM_NAME};
pub use aws_transport::AwsTransport;
use bytes::Bytes;
use connection::Connections;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
pub use json_stream::{JsonStreamEvent, JsonStreamRecord, events_request};
use json_stream::{in_otlp, json_array};
use std::error::Error;
use std::sync::atomic::AtomicBool;
use tokio::time::timeout;
use url::{Position, Url};

const GZIP_LEVEL: u32 = 6;

/// Sends requests to one destination.
#[derive(Debug)]
pub struct LeanTransport {
    connections: Connections,
    endpoints: Endpoints,
    format: Format,
}

/// The encoding of bodies and the protocol that carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json(Compression),
    /// Telemetry API events, converted from log records.
    Events(Compression),
    Call,
}

/// The protocol of OTLP (OTLP 1.x; the values of `OTEL_EXPORTER_OTLP_PROTOCOL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`
    #[default]
    HttpProtobuf,
    /// `http/json`
    HttpJson,
    Grpc,
}

impl LeanTransport {
    /// Prepares everything that needs no network. Fails if this machine lacks the TLS support that an endpoint needs.
    pub fn new(destination: &DestinationConfig) -> Result<Self, ClientError> {
        Self::of_format(destination, Format::Protobuf)
    }

    /// Like `new`, with this protocol. The client must pass uncompressed bodies for `http/json`, because they are converted
    /// later. gRPC uses only the host of a URL and calls its own methods.
    pub fn by(destination: &DestinationConfig, protocol: Protocol) -> Result<Self, ClientError> {
        let format = match protocol {
            Protocol::HttpProtobuf => Format::Protobuf,
            Protocol::HttpJson => Format::Json(destination.compression),
            Protocol::Grpc => Format::Call,
        };
        Self::of_format(destination, format)
    }

    fn of_format(destination: &DestinationConfig, format: Format) -> Result<Self, ClientError> {
        let version = match format {
            Format::Protobuf | Format::Json(_) | Format::Events(_) => Version::Http1,
            Format::Call => Version::Http2,
        };
        let tls = tls::connector(destination, version)?;
        let connections = Connections::new(tls, version, destination.proxy.clone());
        Ok(Self { connections, endpoints: destination.endpoints.clone(), format })
    }

    /// Like `new`, for log records of [`events_request`] and a destination of [`DestinationConfig::json_stream`]. The client must
    /// pass uncompressed bodies, because they are converted later.
    pub fn of_events(destination: &DestinationConfig) -> Result<Self, ClientError> {
        Self::of_format(destination, Format::Events(destination.compression))
    }
}

/// The reason for a missing response: an error of the network, TLS or HTTP.
type Trouble = Box<dyn Error + Send + Sync>;

impl Transport for LeanTransport {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let mut events = None;
        let made = match self.format {
            Format::Json(compression) => {
                let otlp = wire::Request::trusted(request.kind, request.body.to_vec());
                Some((otlp.to_json(), compression))
            }
            Format::Events(compression) => {
                let (json, number) = json_array(&request.body);
                events = Some(number);
                Some((json, compression))
            }
            Format::Protobuf | Format::Call => None,
        };
        if let Some((json, compression)) = made {
            request.gzip = compression == Compression::Gzip;
            request.body = match compression {
                Compression::None => json.into(),
                Compression::Gzip => wire::gzip::compress(GZIP_LEVEL, json.as_bytes()).into(),
            };
        }
        let url = self.endpoints.of(request.kind);
        let limit = request.timeout;
        let sent = AtomicBool::new(false);
        let answered = match message(url, self.format, request) {
            Ok(message) => {
                let answer = self.connections.exchange(url, message, MAX_RESPONSE_BYTES, &sent);
                timeout(limit, answer).await
            }
            Err(error) => Ok(Err(error)),
        };
        let cause = match answered {
            Ok(Ok(response)) => {
                return Ok(match events {
                    Some(events) => in_otlp(response, events),
                    None => response,
                });
            }
            Ok(Err(error)) => cause(&*error),
            Err(_) => "timed out".to_owned(),
        };
        let sent = sent.into_inner();
        let trouble = if sent { "no answer from" } else { "cannot reach" };
        let through = through(self.connections.proxy_of(url));
        let text = format!("{trouble} {}{through}: {cause}", host_and_port(url));
        Err(TransportError { sent, text })
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        self.connections.drop_all();
        Ok(())
    }
}

fn message(url: &Url, format: Format, request: HttpRequest) -> Result<Request<Bytes>, Trouble> {
    if format == Format::Call {
        return grpc::request(url, request);
    }
    // Path and query only; the `Host` header names the server.
    let uri: Uri = url[Position::BeforePath..Position::AfterQuery].parse()?;
    let mut message = Request::post(uri).body(request.body)?;
    let headers = message.headers_mut();
    *headers = request.headers;
    let host = &url[Position::BeforeHost..Position::AfterPort];
    headers.insert(HOST, HeaderValue::from_str(host)?);
    headers.insert(USER_AGENT, AGENT);
    let content_type =
        if format == Format::Protobuf { "application/x-protobuf" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if request.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(stream) = request.stream {
        headers.insert(STREAM_NAME, stream);
    }
    Ok(message)
}

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("lambda-otlp/", env!("CARGO_PKG_VERSION")));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

impl Version {
    /// Its protocol name in TLS (RFC 7301).
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}
