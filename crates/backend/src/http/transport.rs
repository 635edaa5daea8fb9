//! OTLP over HTTP and gRPC with reqwest: one attempt, no redirects, bounded responses, and errors with host and cause.

#[cfg(feature = "grpc")]
use super::cause::NO_HTTP_2;
use super::cause::{
    NO_HTTP_1, PERHAPS_TLS, PROXY_WANTS_CREDENTIALS, cause, host_and_port, through,
};
#[cfg(feature = "grpc")]
use super::grpc;
use super::json_stream::{in_otlp, json_array};
use super::own_certificate::OwnCertificate;
use super::response::{MAX_RESPONSE_BYTES, append_up_to};
use super::{ClientError, HttpRequest, HttpResponse, Transport, TransportError, encoded};
use crate::destination::{
    CloudWatchEndpoint, Compression, DestinationConfig, OwnAuthority, STREAM_NAME,
};
use aws::{PostToSign, RequestSigner, deepest};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;
use settings::{Proxy, Secret};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::Request;

/// Sends requests to one destination.
#[derive(Debug)]
pub struct HttpTransport {
    /// Replaced by a new client to drop its connections.
    client: RwLock<reqwest::Client>,
    tls: Option<ClientConfig>,
    destination: DestinationConfig,
    protocol: Protocol,
    /// A request of any signal needs AWS's signature.
    is_signed: bool,
    signer: Option<Arc<RequestSigner>>,
}

/// The protocol of OTLP (OTLP 1.x; the values of `OTEL_EXPORTER_OTLP_PROTOCOL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`
    #[default]
    HttpProtobuf,
    /// `http/json`
    HttpJson,
    #[cfg(feature = "grpc")]
    Grpc,
    /// Not of OTLP: Telemetry API events, converted from the log records of [`events_request`](super::events_request).
    Events,
}

impl HttpTransport {
    /// Prepares everything that needs no network. Fails if this machine lacks the certificates that an endpoint needs.
    pub fn new(destination: &DestinationConfig) -> Result<Self, ClientError> {
        Self::with_protocol(destination, Protocol::HttpProtobuf)
    }

    /// Like [`new`](Self::new), with this protocol. gRPC uses only the host of a URL and calls its own methods.
    pub fn with_protocol(
        destination: &DestinationConfig,
        protocol: Protocol,
    ) -> Result<Self, ClientError> {
        Self::with_tls(destination, protocol, tls_config(destination)?)
    }

    /// A transport for log records of [`events_request`](super::events_request) to this transport's
    /// [`DestinationConfig::json_stream`].
    pub fn for_events(&self, json_stream: &DestinationConfig) -> Result<Self, ClientError> {
        // Reading the system's certificates again would take milliseconds.
        Self::with_tls(json_stream, Protocol::Events, self.tls.clone())
    }

    fn with_tls(
        destination: &DestinationConfig,
        protocol: Protocol,
        tls: Option<ClientConfig>,
    ) -> Result<Self, ClientError> {
        let client = RwLock::new(reqwest_client(destination, tls.as_ref(), protocol)?);
        let is_signed = destination.is_signed();
        let destination = destination.clone();
        Ok(Self { client, tls, destination, protocol, is_signed, signer: None })
    }

    /// Signs requests to CloudWatch's endpoints. Without a signer, they fail.
    #[must_use]
    pub fn signed_by(self, signer: &Arc<RequestSigner>) -> Self {
        Self { signer: self.is_signed.then(|| Arc::clone(signer)), ..self }
    }

    /// Adds AWS's signature to a request to CloudWatch. Returns the part of the credentials that an error may repeat.
    async fn sign(
        &self,
        url: &Url,
        request: &mut HttpRequest,
    ) -> Result<Option<Secret>, TransportError> {
        let Some(CloudWatchEndpoint { service, region }) = CloudWatchEndpoint::read(url) else {
            return Ok(None);
        };
        let unsigned =
            |cause: &str| self.no_answer(url, false, &format!("cannot sign the request: {cause}"));
        let signer = self.signer.as_ref().ok_or_else(|| unsigned("only the forwarder signs"))?;
        let HttpRequest { headers, body, timeout, .. } = request;
        let post = PostToSign { service, region: &region, url, body };
        let signing = signer.sign(post, headers, Instant::now() + *timeout);
        signing.await.map_err(|error| unsigned(&error.to_string()))
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
        self.ask_api(method, url, json, headers, timeout, MAX_RESPONSE_BYTES).await
    }

    /// Calls the API of one of the destination's hosts, with JSON if there is any, and reads up to `max_bytes` of the answer.
    pub async fn ask_api(
        &self,
        method: Method,
        url: &Url,
        json: Option<String>,
        headers: HeaderMap,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<HttpResponse, TransportError> {
        if !self.destination.endpoints.iter().any(|own| own.origin() == url.origin()) {
            let text = format!("{} is no host of the destination", host_and_port(url));
            return Err(TransportError { sent: false, is_closed: false, text });
        }
        let mut builder = self.client().request(method, url.clone());
        if let Some(json) = json {
            builder = builder.header(CONTENT_TYPE, "application/json").body(json);
        }
        let response = builder
            .timeout(timeout)
            .headers(headers)
            .send()
            .await
            .map_err(|error| self.transport_error(url, error))?;
        self.read(url, response, max_bytes).await
    }

    async fn read(
        &self,
        url: &Url,
        mut response: reqwest::Response,
        max_bytes: usize,
    ) -> Result<HttpResponse, TransportError> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        let mut cut = false;
        while !cut
            && let Some(piece) =
                response.chunk().await.map_err(|error| self.transport_error(url, error))?
        {
            cut = !append_up_to(max_bytes, &mut body, &piece);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the time of receipt, for the few responses without one"
        )]
        let now = std::time::SystemTime::now();
        Ok(HttpResponse { status, headers, body: body.freeze(), cut }.with_date(now))
    }

    fn client(&self) -> reqwest::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Describes host and cause, without the URL's query and the headers.
    fn transport_error(&self, url: &Url, error: reqwest::Error) -> TransportError {
        let error = error.without_url();
        let sent = !(error.is_connect() || error.is_builder());
        let cause = match self.protocol {
            _ if error.is_timeout() => "timed out".to_owned(),
            #[cfg(feature = "grpc")]
            Protocol::Grpc => cause(&error, NO_HTTP_2),
            _ => cause(&error, NO_HTTP_1),
        };
        self.no_answer(url, sent, &cause)
    }

    fn no_answer(&self, url: &Url, sent: bool, cause: &str) -> TransportError {
        let trouble = if sent { "no answer from" } else { "cannot reach" };
        let proxy = proxy(&self.destination, self.protocol).and_then(|proxy| proxy.proxy_for(url));
        let host = host_and_port(url) + &through(proxy);
        let text = format!("{trouble} {host}: {cause}");
        TransportError { sent, is_closed: false, text }
    }
}

impl HttpTransport {
    fn post(&self, url: &Url, request: HttpRequest) -> reqwest::RequestBuilder {
        let content_type = match self.protocol {
            #[cfg(feature = "grpc")]
            Protocol::Grpc => return grpc::call(&self.client(), url, request),
            Protocol::HttpProtobuf => "application/x-protobuf",
            Protocol::HttpJson | Protocol::Events => "application/json",
        };
        let mut post = self
            .client()
            .post(url.clone())
            .timeout(request.timeout)
            .headers(request.headers)
            .header(CONTENT_TYPE, content_type);
        if request.gzip {
            post = post.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(stream) = request.stream {
            post = post.header(STREAM_NAME, stream);
        }
        post.body(request.body)
    }

    /// Reads the answer to a request with this number of events, and translates it to OTLP's.
    async fn answer(
        &self,
        url: &Url,
        response: reqwest::Response,
        events: usize,
    ) -> Result<HttpResponse, TransportError> {
        match self.protocol {
            #[cfg(feature = "grpc")]
            Protocol::Grpc => {
                let answer = grpc::answer(response)
                    .await
                    .map_err(|error| self.transport_error(url, error))?;
                grpc::in_http(answer)
                    .ok_or_else(|| self.no_answer(url, true, "the call has no status"))
            }
            Protocol::Events => {
                let response = self.read(url, response, MAX_RESPONSE_BYTES).await?;
                Ok(in_otlp(response, events))
            }
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                self.read(url, response, MAX_RESPONSE_BYTES).await
            }
        }
    }
}

impl Transport for HttpTransport {
    fn encode(&self, request: &Request, compression: Compression) -> Bytes {
        let json = match self.protocol {
            Protocol::HttpJson => Some(request.to_json()),
            Protocol::Events => Some(json_array(request.bytes())),
            Protocol::HttpProtobuf => None,
            #[cfg(feature = "grpc")]
            Protocol::Grpc => None,
        };
        let body = json.as_ref().map_or(request.bytes(), |json| json.as_bytes());
        encoded(request.kind(), body, compression)
    }

    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let url = self.destination.endpoints.of(request.kind);
        let events = request.items;
        let token = if self.is_signed { self.sign(url, &mut request).await? } else { None };
        let response = self.post(url, request).send().await.map_err(|error| {
            let is_timeout = error.is_timeout();
            let mut error = self.transport_error(url, error);
            error.is_closed = error.sent && !is_timeout;
            if error.is_closed && url.scheme() == "http" {
                error.text.push_str(PERHAPS_TLS);
            }
            error
        })?;
        // Only a proxy that forwards plain requests answers in place of the backend.
        let is_forwarded = url.scheme() == "http"
            && proxy(&self.destination, self.protocol)
                .is_some_and(|proxy| proxy.proxy_for(url).is_some());
        if is_forwarded && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(self.no_answer(url, false, PROXY_WANTS_CREDENTIALS));
        }
        let answer = self.answer(url, response, events).await?;
        Ok(match token {
            // AWS repeats signed headers in the description of a wrong signature.
            Some(token) => answer.without(token.expose()),
            None => answer,
        })
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        let client = reqwest_client(&self.destination, self.tls.as_ref(), self.protocol)?;
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
fn tls_config(destination: &DestinationConfig) -> Result<Option<ClientConfig>, ClientError> {
    let proxies = destination.proxy.iter().flat_map(Proxy::iter);
    if destination.endpoints.iter().chain(proxies).all(|url| url.scheme() == "http") {
        return Ok(None);
    }
    let build = |error: rustls::Error| ClientError::Build { text: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = destination.own_authority.iter().flat_map(OwnAuthority::certificates);
    let verifier = Verifier::new_with_extra_roots(own, Arc::clone(&provider)).map_err(build)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(build)?
        .dangerous()
        .with_custom_certificate_verifier(match &destination.own_authority {
            None => Arc::new(verifier),
            Some(own) => Arc::new(OwnCertificate { verifier, own: own.clone() }),
        })
        .with_no_client_auth();
    Ok(Some(config))
}

/// Calls by gRPC without TLS do not use the proxy, because HTTP proxies forward plain requests as HTTP/1.1 only.
fn proxy(destination: &DestinationConfig, protocol: Protocol) -> Option<&Proxy> {
    let is_forwarded = match protocol {
        #[cfg(feature = "grpc")]
        Protocol::Grpc => destination.endpoints.iter().all(|url| url.scheme() == "https"),
        _ => true,
    };
    destination.proxy.as_ref().filter(|_| is_forwarded)
}

/// Creates a client without connections. It shares `tls`, and thereby resumable sessions, with earlier clients.
fn reqwest_client(
    destination: &DestinationConfig,
    tls: Option<&ClientConfig>,
    protocol: Protocol,
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
        Some(config) => {
            // Names of protocols in TLS (RFC 7301).
            let protocol = match protocol {
                #[cfg(feature = "grpc")]
                Protocol::Grpc => "h2",
                _ => "http/1.1",
            };
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            builder.tls_backend_preconfigured(config)
        }
        None => builder.tls_certs_only([]),
    };
    #[cfg(feature = "grpc")]
    if protocol == Protocol::Grpc {
        builder = builder.http2_prior_knowledge();
    }
    if let Some(proxy) = proxy(destination, protocol).cloned() {
        builder = builder.proxy(reqwest::Proxy::custom(move |url| proxy.proxy_for(url).cloned()));
    }
    builder.build().map_err(build)
}
