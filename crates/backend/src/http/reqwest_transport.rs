//! OTLP over HTTP with reqwest: one attempt, no redirects, bounded responses, and errors with host and cause.

use super::cause::{cause, deepest, host_and_port, through};
use super::own_certificate::trusting_servers;
use super::response::{BoundedBody, MAX_RESPONSE_BYTES};
use super::{ClientError, HttpRequest, HttpResponse, Transport, TransportError};
use crate::destination::{DestinationConfig, OwnAuthority, STREAM_NAME};
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;
use settings::Proxy;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use url::Url;

/// Sends requests to one destination.
#[derive(Debug)]
pub struct HttpTransport {
    /// Replaced by a new client to drop its connections.
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

    /// Sends the backend a GET, or a POST of `json`, to check it. Takes at most `timeout`.
    ///
    /// A URL with another host than the destination's is an error, because the headers contain the destination's credentials.
    pub async fn ask(
        &self,
        url: &Url,
        json: Option<String>,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<HttpResponse, TransportError> {
        let method = if json.is_some() { Method::POST } else { Method::GET };
        self.call(method, url, json, headers, timeout, MAX_RESPONSE_BYTES).await
    }

    /// Like [`Self::ask`], with any method and up to `most_bytes` of the response.
    pub async fn call(
        &self,
        method: Method,
        url: &Url,
        json: Option<String>,
        headers: HeaderMap,
        timeout: Duration,
        most_bytes: usize,
    ) -> Result<HttpResponse, TransportError> {
        if !self.destination.endpoints.iter().any(|own| own.origin() == url.origin()) {
            let text = format!("{} is no host of the destination", host_and_port(url));
            return Err(TransportError { sent: false, text });
        }
        let mut builder = self.client().request(method, url.clone());
        if let Some(json) = json {
            builder = builder.header(CONTENT_TYPE, "application/json").body(json);
        }
        let response = builder.timeout(timeout).headers(headers).send().await;
        let response = response.map_err(|error| self.transport_error(url, error))?;
        self.read(url, response, most_bytes).await
    }

    async fn read(
        &self,
        url: &Url,
        mut response: reqwest::Response,
        most_bytes: usize,
    ) -> Result<HttpResponse, TransportError> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = BoundedBody::new(most_bytes);
        while let Some(piece) =
            response.chunk().await.map_err(|error| self.transport_error(url, error))?
        {
            if !body.take(&piece) {
                break;
            }
        }
        let cut = body.is_cut();
        Ok(HttpResponse { status, headers, body: body.into_bytes(), cut })
    }

    fn client(&self) -> reqwest::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Describes host and cause, without the URL's query and the headers.
    fn transport_error(&self, url: &Url, error: reqwest::Error) -> TransportError {
        let error = error.without_url();
        let sent = !(error.is_connect() || error.is_builder());
        let trouble = if sent { "no answer from" } else { "cannot reach" };
        let proxy = self.destination.proxy.as_ref().and_then(|proxy| proxy.of(url));
        let host = host_and_port(url) + &through(proxy);
        let cause = if error.is_timeout() { "timed out".to_owned() } else { cause(&error) };
        TransportError { sent, text: format!("{trouble} {host}: {cause}") }
    }
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
        self.read(url, response, MAX_RESPONSE_BYTES).await
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        let client = reqwest_client(&self.destination, self.tls.as_ref())?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }
}

/// Connections within a region take milliseconds. A host that takes longer than this counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A load balancer, or a freeze of the environment, may have dropped a connection that was idle for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The TLS configuration; `None` if neither endpoint nor proxy uses TLS. Loading the system's certificates takes milliseconds of
/// a cold start, and fails if there are none.
pub(super) fn tls_config(
    destination: &DestinationConfig,
) -> Result<Option<ClientConfig>, ClientError> {
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
        .with_custom_certificate_verifier(trusting_servers(
            Arc::new(verifier),
            destination.own_authority.as_ref(),
        ))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(config))
}

/// Creates a client without connections. It shares `tls`, and thereby resumable sessions, with earlier clients.
pub(super) fn reqwest_client(
    destination: &DestinationConfig,
    tls: Option<&ClientConfig>,
) -> Result<reqwest::Client, ClientError> {
    // This fails if another part of the process has installed a provider, which serves as well.
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
    if let Some(proxy) = destination.proxy.clone() {
        builder = builder.proxy(reqwest::Proxy::custom(move |url| proxy.of(url).cloned()));
    }
    builder.build().map_err(build)
}
