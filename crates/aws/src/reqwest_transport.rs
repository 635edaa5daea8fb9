//! AWS requests with reqwest: through proxies, and each on a new connection by default.

use crate::client::{
    AwsHttpRequest, AwsResponse, Caller, NoResponse, RequestSender, ResponseFuture, host,
    unreachable,
};
use settings::Proxy;
use std::error::Error;
use tokio::sync::OnceCell;
use url::Url;

/// The first request creates the HTTP client: most environments need neither a secret nor a queue.
#[derive(Debug)]
pub struct ReqwestTransport {
    caller: Caller,
    proxy: Option<Proxy>,
    idle_connections: usize,
    https: OnceCell<reqwest::Client>,
    /// For AWS stand-ins without TLS. Created without the system's certificates, which may be missing there.
    http: OnceCell<reqwest::Client>,
}

impl ReqwestTransport {
    pub fn new(caller: Caller, proxy: Option<Proxy>, idle_connections: usize) -> Self {
        let https = OnceCell::new();
        let http = OnceCell::new();
        Self { caller, proxy, idle_connections, https, http }
    }

    async fn exchange(&self, request: AwsHttpRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let AwsHttpRequest { method, url, headers, body, max_response_bytes } = request;
        let host = self.describe_host(url);
        let no_response = |error: reqwest::Error| self.no_response(&host, &error.without_url());
        let no_client =
            |_| NoResponse::NotMade("no client for HTTPS: are there certificates in the system?");
        let cell = if url.scheme() == "http" { &self.http } else { &self.https };
        let client =
            cell.get_or_try_init(async || self.create_client(url)).await.map_err(no_client)?;
        let request = client.request(method, url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(no_response)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_response)? {
            if answer.len() + chunk.len() > max_response_bytes {
                let text =
                    format!("the answer of {host} is longer than {max_response_bytes} bytes");
                return Err(NoResponse::TooLong(text));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(AwsResponse { status, headers, body: answer })
    }

    /// Creates a client for the scheme of this URL.
    fn create_client(&self, url: &Url) -> Result<reqwest::Client, reqwest::Error> {
        // This fails if another part of the process has installed a provider, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(self.caller.connect_timeout())
            .pool_max_idle_per_host(self.idle_connections);
        if let Some(proxy) = self.proxy.clone() {
            builder =
                builder.proxy(reqwest::Proxy::custom(move |url| proxy.proxy_for(url).cloned()));
        }
        if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder }.build()
    }

    /// Translates reqwest's error about a request to `host`.
    fn no_response(&self, host: &str, error: &reqwest::Error) -> NoResponse {
        if error.is_builder() {
            return NoResponse::NotMade("the request cannot be made");
        }
        let cause = if error.is_timeout() {
            self.caller.timed_out().to_owned()
        } else {
            deepest(error).to_string()
        };
        let text = unreachable(host, &cause);
        if error.is_connect() { NoResponse::NotSent(text) } else { NoResponse::Ambiguous(text) }
    }
}

impl RequestSender for ReqwestTransport {
    fn send<'a>(&'a self, request: AwsHttpRequest<'a>) -> ResponseFuture<'a> {
        Box::pin(self.exchange(request))
    }

    fn describe_host(&self, url: &Url) -> String {
        match self.proxy.as_ref().and_then(|proxy| proxy.proxy_for(url)) {
            Some(proxy) => format!("{} through the proxy {}", host(url), host(proxy)),
            None => host(url),
        }
    }
}

/// Returns the innermost error; the outer ones only report that a request failed.
pub fn deepest<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}
