//! OTLP over HTTP with reqwest: one attempt, no redirects, bounded answers, and errors that name host and cause.

use super::response::MAX_RESPONSE_BYTES;
use super::{ClientError, HttpRequest, HttpResponse, Transport, TransportError};
use crate::destination::{DestinationConfig, OwnAuthority, STREAM_NAME};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;
use settings::Proxy;
use std::error::Error;
use std::sync::{Arc, PoisonError, RwLock};
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
    tls: Option<ClientConfig>,
    destination: DestinationConfig,
}

impl HttpTransport {
    /// Prepares everything that needs no network.
    pub fn new(destination: &DestinationConfig) -> Result<Self, ClientError> {
        let tls = tls_config(destination)?;
        let client = RwLock::new(reqwest_client(destination, tls.as_ref())?);
        Ok(Self { client, tls, destination: destination.clone() })
    }

    /// Asks the backend something else than to take telemetry: a GET, or with `json` a POST of that. For those who want to
    /// know whether it works; takes at most `timeout`.
    /// A URL of another host than the destination's is an error: the headers hold its credentials.
    pub async fn ask(
        &self,
        url: &Url,
        json: Option<String>,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<HttpResponse, TransportError> {
        if !self.destination.endpoints.iter().any(|own| own.origin() == url.origin()) {
            let text = format!("{} is no host of the destination", host_and_port(url));
            return Err(TransportError { sent: false, text });
        }
        let client = self.client();
        let builder = match json {
            Some(json) => {
                client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(json)
            }
            None => client.get(url.clone()),
        };
        let response = builder.timeout(timeout).headers(headers).send().await;
        let response = response.map_err(|error| self.transport_error(url, error))?;
        self.read(url, response).await
    }

    async fn read(
        &self,
        url: &Url,
        response: reqwest::Response,
    ) -> Result<HttpResponse, TransportError> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let (body, cut) =
            bounded_body(response).await.map_err(|error| self.transport_error(url, error))?;
        Ok(HttpResponse { status, headers, body, cut })
    }

    fn client(&self) -> reqwest::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which host and why; the URL's query and the headers are left out.
    fn transport_error(&self, url: &Url, error: reqwest::Error) -> TransportError {
        let error = error.without_url();
        let sent = !(error.is_connect() || error.is_builder());
        let trouble = if sent { "no answer from" } else { "cannot reach" };
        let proxy = self.destination.proxy.as_ref().and_then(|proxy| {
            let exempt = if proxy.exempt.is_empty() { "" } else { " unless NO_PROXY exempts it" };
            Some(format!(" through the proxy {}{exempt}", host_and_port(proxy.of(url)?)))
        });
        let host = host_and_port(url) + proxy.as_deref().unwrap_or_default();
        let cause = if error.is_timeout() { "timed out".to_owned() } else { cause(&error) };
        TransportError { sent, text: format!("{trouble} {host}: {cause}") }
    }
}

/// `None` where nothing on the way speaks TLS: reading the system's certificates takes milliseconds of a cold start, and fails
/// where there are none.
fn tls_config(destination: &DestinationConfig) -> Result<Option<ClientConfig>, ClientError> {
    let proxies = destination.proxy.iter().flat_map(Proxy::iter);
    if destination.endpoints.iter().chain(proxies).all(|url| url.scheme() == "http") {
        return Ok(None);
    }
    let build = |error: rustls::Error| ClientError::Build { text: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = destination.own_authority.iter().flat_map(OwnAuthority::certificates);
    let verifier = Verifier::new_with_extra_roots(own, Arc::clone(&provider)).map_err(build)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(build)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(config))
}

/// A client without connections; `tls` is shared with the ones before, and with it the sessions that can be resumed.
fn reqwest_client(
    destination: &DestinationConfig,
    tls: Option<&ClientConfig>,
) -> Result<reqwest::Client, ClientError> {
    // Fails where another part of the process has installed a provider, which serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let build = |error: reqwest::Error| ClientError::Build { text: deepest(&error).to_string() };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("lambda-otlp/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    builder = match tls {
        Some(config) => builder.tls_backend_preconfigured(config.clone()),
        None => builder.tls_certs_only([]),
    };
    if let Some(Proxy { http, https, exempt }) = &destination.proxy {
        let exempt = || reqwest::NoProxy::from_string(exempt);
        if let Some(url) = http {
            builder =
                builder.proxy(reqwest::Proxy::http(url.clone()).map_err(build)?.no_proxy(exempt()));
        }
        if let Some(url) = https {
            builder = builder
                .proxy(reqwest::Proxy::https(url.clone()).map_err(build)?.no_proxy(exempt()));
        }
    }
    builder.build().map_err(build)
}

impl Transport for HttpTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
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
        let response = builder
            .body(request.body)
            .send()
            .await
            .map_err(|error| self.transport_error(url, error))?;
        self.read(url, response).await
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        let client = reqwest_client(&self.destination, self.tls.as_ref())?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }
}

/// The first [`MAX_RESPONSE_BYTES`] of the body, and whether there was more.
async fn bounded_body(mut response: reqwest::Response) -> Result<(Bytes, bool), reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_RESPONSE_BYTES - body.len();
        let (kept, rest) = chunk.split_at_checked(room).unwrap_or((&chunk, &[]));
        body.extend_from_slice(kept);
        if !rest.is_empty() {
            return Ok((body.freeze(), true));
        }
    }
    Ok((body.freeze(), false))
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}")
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
    if cause.contains("UnknownIssuer") || cause.contains("certificate: BadSignature") {
        Some(
            "its authority is not trusted, give the authority's certificate in LAMBDA_OTLP_CA_FILE",
        )
    } else if cause.contains("CaUsedAsEndEntity") {
        Some(
            "the server shows an authority's own certificate, give it one that the authority signed",
        )
    } else if cause.contains("certificate expired") {
        Some("renew the server's certificate")
    } else if cause.contains("InvalidContentType") {
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
