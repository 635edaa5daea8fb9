//! The client of AWS's JSON protocols, for secrets, parameters and queues: one signed request, sent once, bounded in time
//! and size, never redirected, and with an error that says whether it may have arrived.

mod endpoint;
mod error;
mod request;
mod response;

pub(crate) use endpoint::service_endpoint;
pub use error::NoResponse;
pub use request::SignedRequest;
pub(crate) use request::host;
pub use response::AwsResponse;
pub(crate) use response::excerpt;

use request::signed;
use settings::Proxy;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// A service of the same region answers the connection in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// S3 answers a put with nothing, or with an error of some hundred bytes.
const MAX_PUT_RESPONSE_BYTES: usize = 64 * 1024;

/// Sends signed requests, each on a connection of its own unless told [otherwise](Self::keeping_connections). Minutes may
/// lie between two requests, and a freeze of the execution environment: a connection that was kept would break with the next
/// request half sent.
///
/// The HTTP client is made for the first request: most environments need neither a secret nor a queue.
#[derive(Debug)]
pub struct AwsClient {
    clock: fn() -> SystemTime,
    proxy: Option<Proxy>,
    idle_connections: usize,
    https: OnceCell<reqwest::Client>,
    /// For a stand-in for AWS without TLS. It is made without the system's certificates, which may be missing there.
    http: OnceCell<reqwest::Client>,
}

impl AwsClient {
    /// `clock` gives the time that requests are signed with.
    pub fn new(clock: fn() -> SystemTime, proxy: Option<Proxy>) -> Self {
        let (https, http) = (OnceCell::new(), OnceCell::new());
        Self { clock, proxy, idle_connections: 0, https, http }
    }

    /// Keeps this many connections for the next requests: for many requests in a row, each of which may be sent twice.
    #[must_use]
    pub fn keeping_connections(self, most: usize) -> Self {
        Self { idle_connections: most, ..self }
    }

    /// The time that requests are signed with.
    pub fn wall_clock(&self) -> SystemTime {
        (self.clock)()
    }

    /// Sends the request once, and reads the response.
    pub async fn send(&self, request: SignedRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let (endpoint, deadline) = (request.endpoint, request.deadline);
        let most = request.max_response_bytes;
        let sign =
            |client: &reqwest::Client| signed(request, &host(endpoint), self.wall_clock(), client);
        self.send_made(endpoint, sign, deadline, most).await
    }

    /// Puts a body, once, to a URL that carries its own signature, as CloudFormation gives to custom resources. It has no content
    /// type, since that would have been signed too.
    pub async fn put_presigned(
        &self,
        url: &Url,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<AwsResponse, NoResponse> {
        let make = |client: &reqwest::Client| {
            let built = client.put(url.clone()).body(body).build();
            built.map_err(|_| NoResponse::NotMade("the URL is none that can be put to"))
        };
        self.send_made(url, make, deadline, MAX_PUT_RESPONSE_BYTES).await
    }

    async fn send_made(
        &self,
        endpoint: &Url,
        make: impl FnOnce(&reqwest::Client) -> Result<reqwest::Request, NoResponse>,
        deadline: Instant,
        most: usize,
    ) -> Result<AwsResponse, NoResponse> {
        let shown = self.with_proxy(&host(endpoint), endpoint);
        let response = async {
            let failed = |error: reqwest::Error| NoResponse::of(&shown, &error.without_url());
            let client = self.client(endpoint).await.map_err(|_| {
                NoResponse::NotMade("no client for HTTPS: are there certificates in the system?")
            })?;
            let mut response = client.execute(make(client)?).await.map_err(failed)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > most {
                    return Err(NoResponse::TooLong { host: shown.clone(), most });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(AwsResponse { status, body })
        };
        match timeout_at(deadline, response).await {
            Ok(response) => response,
            Err(_) => Err(NoResponse::Deadline { host: shown }),
        }
    }

    /// The host as errors name it: with the proxy on the way to it.
    fn with_proxy(&self, shown: &str, endpoint: &Url) -> String {
        match self.proxy.as_ref().and_then(|proxy| proxy.of(endpoint)) {
            Some(proxy) => {
                format!("{shown} through the proxy {} unless NO_PROXY exempts it", host(proxy))
            }
            None => shown.to_owned(),
        }
    }

    async fn client(&self, endpoint: &Url) -> Result<&reqwest::Client, reqwest::Error> {
        let is_plain = endpoint.scheme() == "http";
        let prepare = async || {
            // This fails where another part of the process has installed a provider, which serves as well.
            drop(rustls::crypto::ring::default_provider().install_default());
            let mut builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(self.idle_connections);
            if let Some(Proxy { http, https, exempt }) = &self.proxy {
                let proxies = [
                    http.clone().map(reqwest::Proxy::http),
                    https.clone().map(reqwest::Proxy::https),
                ];
                for proxy in proxies.into_iter().flatten() {
                    builder = builder.proxy(proxy?.no_proxy(reqwest::NoProxy::from_string(exempt)));
                }
            }
            if is_plain { builder.tls_certs_only([]) } else { builder }.build()
        };
        let client = if is_plain { &self.http } else { &self.https };
        client.get_or_try_init(prepare).await
    }
}
