//! OTLP over HTTP with reqwest: one attempt, no redirects, bounded answers, and errors that name host and cause.

use crate::answer::Answer;
use crate::client::ClientError;
use crate::destination::Destination;
use crate::transport::{HttpRequest, MAX_ANSWER_BYTES, Transport, TransportError};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use std::error::Error;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use url::Url;

/// A TCP connection within a region takes milliseconds; what takes longer than this is unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that was idle for longer may have been dropped by a load balancer, or while the environment was frozen.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends requests to one destination.
#[derive(Debug)]
pub struct HttpTransport {
    /// Replaced as a whole, which is how its connections are dropped.
    client: RwLock<reqwest::Client>,
    destination: Destination,
}

impl HttpTransport {
    /// Prepares everything that needs no network.
    pub(crate) fn new(destination: &Destination) -> Result<Self, ClientError> {
        Ok(Self {
            client: RwLock::new(reqwest_client(destination)?),
            destination: destination.clone(),
        })
    }

    fn client(&self) -> reqwest::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// OpenObserve's header for the stream of traces and logs; metrics have a stream a name (openobserve.md §1).
pub(crate) const STREAM_NAME: HeaderName = HeaderName::from_static("stream-name");

fn reqwest_client(destination: &Destination) -> Result<reqwest::Client, ClientError> {
    // Fails where another part of the process has installed a provider, which serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("lambda-otlp/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if destination.endpoints.iter().all(|url| url.scheme() == "http") {
        // Reading the system's certificates takes milliseconds of a cold start, and fails where there are none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ClientError::Build { text: deepest(&error).to_string() })
}

impl Transport for HttpTransport {
    async fn send(&self, request: HttpRequest) -> Result<Answer, TransportError> {
        let url = self.destination.endpoints.of(request.kind);
        let mut builder = self
            .client()
            .post(url.clone())
            .timeout(request.timeout)
            .headers(request.headers)
            .header(CONTENT_TYPE, "application/x-protobuf");
        if request.gzip {
            builder = builder.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(stream) = request.stream {
            builder = builder.header(STREAM_NAME, stream);
        }
        let response =
            builder.body(request.body).send().await.map_err(|error| transport_error(url, error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let (body, cut) =
            bounded_body(response).await.map_err(|error| transport_error(url, error))?;
        Ok(Answer { status, headers, body, cut })
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        let client = reqwest_client(&self.destination)?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }
}

/// The first [`MAX_ANSWER_BYTES`] of the body, and whether there was more.
async fn bounded_body(mut response: reqwest::Response) -> Result<(Bytes, bool), reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER_BYTES - body.len();
        let (kept, rest) = chunk.split_at_checked(room).unwrap_or((&chunk, &[]));
        body.extend_from_slice(kept);
        if !rest.is_empty() {
            return Ok((body.freeze(), true));
        }
    }
    Ok((body.freeze(), false))
}

/// Says which host and why; the URL's query and the headers are left out.
fn transport_error(url: &Url, error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let sent = !(error.is_connect() || error.is_builder());
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    let trouble = if sent { "no answer from" } else { "cannot reach" };
    let cause = if error.is_timeout() { "timed out".to_owned() } else { cause(&error) };
    TransportError { sent, text: format!("{trouble} {host}{port}: {cause}") }
}

fn cause(error: &reqwest::Error) -> String {
    use std::io::ErrorKind;
    let deepest = deepest(error);
    let io_kind = deepest.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    match io_kind {
        Some(ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => "connection reset".to_owned(),
        _ => {
            let text = deepest.to_string();
            match hint(&text) {
                Some(hint) => format!("{text}: {hint}"),
                None => text,
            }
        }
    }
}

/// What a person most likely did, where the libraries' text does not say it.
fn hint(cause: &str) -> Option<&'static str> {
    if cause.contains("InvalidContentType") {
        Some("the port does not seem to speak TLS, try http://")
    } else if cause.contains("invalid HTTP version") || cause.contains("unexpected message") {
        Some(
            "the port does not seem to speak HTTP/1.1, is it the one for gRPC (4317)? OTLP/HTTP's is 4318",
        )
    } else {
        None
    }
}

/// The first cause: the errors around it say only that a request failed.
fn deepest(error: &reqwest::Error) -> &(dyn Error + 'static) {
    let mut deepest: &(dyn Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}
