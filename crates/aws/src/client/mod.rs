//! The client of AWS's JSON protocols, for secrets, parameters and queues: one signed request, sent once, bounded in time
//! and size, never redirected, and with an error that says whether it may have arrived.

mod error;
mod request;
mod response;

pub use error::NoResponse;
pub use request::SignedRequest;
pub(crate) use request::host;
pub use response::AwsResponse;
pub(crate) use response::excerpt;

use request::signed;
use settings::Proxy;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use tokio::time::timeout_at;
use url::Url;

/// A service of the same region answers the connection in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends signed requests, each on a connection of its own. Minutes may lie between two requests, and a freeze of the
/// execution environment: a connection that was kept would break with the next request half sent.
///
/// The HTTP client is made for the first request: most environments need neither a secret nor a queue.
#[derive(Debug)]
pub struct AwsClient {
    clock: fn() -> SystemTime,
    proxy: Option<Proxy>,
    https: OnceCell<reqwest::Client>,
    /// For a stand-in for AWS without TLS. It is made without the system's certificates, which may be missing there.
    http: OnceCell<reqwest::Client>,
}

impl AwsClient {
    /// `clock` gives the time that requests are signed with.
    pub fn new(clock: fn() -> SystemTime, proxy: Option<Proxy>) -> Self {
        Self { clock, proxy, https: OnceCell::new(), http: OnceCell::new() }
    }

    /// The time that requests are signed with.
    pub fn wall_clock(&self) -> SystemTime {
        (self.clock)()
    }

    /// Sends the request once, and reads the response.
    pub async fn send(&self, request: SignedRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let host = host(request.endpoint);
        let shown = self.with_proxy(&host, request.endpoint);
        let (deadline, most) = (request.deadline, request.max_response_bytes);
        let response = async {
            let failed = |error: reqwest::Error| NoResponse::of(&shown, &error.without_url());
            let client = self.client(request.endpoint).await.map_err(|_| {
                NoResponse::NotMade("no client for HTTPS: are there certificates in the system?")
            })?;
            let request = signed(request, &host, self.wall_clock(), client)?;
            let mut response = client.execute(request).await.map_err(failed)?;
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
                .pool_max_idle_per_host(0);
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
