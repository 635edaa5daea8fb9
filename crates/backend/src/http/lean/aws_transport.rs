//! Requests to AWS services over the same HTTP and TLS, each on its own connection.

use super::Version;
use super::connection::Connections;
use super::{Trouble, tls};
use crate::http::cause::{cause, through};
use aws::{AwsResponse, NoResponse, Sent, host};
use http::Request;
use settings::Proxy;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

/// Sends requests to AWS services through this proxy. Sets up TLS at the first request, because that takes milliseconds.
pub struct AwsTransport {
    tls: OnceLock<TlsConnector>,
    proxy: Option<Proxy>,
}

impl AwsTransport {
    /// Creates a transport without any setup.
    pub fn new(proxy: Option<Proxy>) -> Self {
        Self { tls: OnceLock::new(), proxy }
    }

    /// `None` without TLS, as for AWS stand-ins in tests.
    fn tls(&self, url: &Url, proxy: Option<&Url>) -> Result<Option<TlsConnector>, NoResponse> {
        if proxy.into_iter().chain([url]).all(|url| url.scheme() == "http") {
            return Ok(None);
        }
        if let Some(ready) = self.tls.get() {
            return Ok(Some(ready.clone()));
        }
        let no_client = "no TLS: are there certificates in the system, and AES in the CPU?";
        let tls =
            tls::trusting(None, Version::Http1).map_err(|_| NoResponse::NotMade(no_client))?;
        Ok(Some(self.tls.get_or_init(|| tls).clone()))
    }

    async fn exchange(&self, request: aws::AwsHttpRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let (url, most) = (request.url, request.max_response_bytes);
        let proxy = self.proxy.as_ref().filter(|_| !request.is_direct);
        let on_the_way = proxy.and_then(|proxy| proxy.of(url));
        let host = host(url) + &through(on_the_way);
        let tls = self.tls(url, on_the_way)?;
        let connections = Connections::new(tls, Version::Http1, proxy.cloned());
        let message = || -> Result<_, Trouble> {
            let uri = &url[Position::BeforePath..Position::AfterQuery];
            let mut message =
                Request::builder().method(request.method).uri(uri).body(request.body.into())?;
            *message.headers_mut() = request.headers;
            if !message.headers().contains_key(http::header::HOST) {
                message.headers_mut().insert(http::header::HOST, aws::host(url).parse()?);
            }
            Ok(message)
        };
        let message = message().map_err(|_| NoResponse::NotMade("the request cannot be made"))?;
        let sent = AtomicBool::new(false);
        let response = connections.exchange(url, message, most, &sent).await;
        match response {
            Ok(response) if response.cut => Err(NoResponse::TooLong { host, most }),
            Ok(response) => Ok(AwsResponse { status: response.status, body: response.body.into() }),
            Err(trouble) => {
                let cause = cause(&*trouble);
                Err(if sent.into_inner() {
                    NoResponse::Broken { host, cause }
                } else {
                    NoResponse::NotConnected { host, cause }
                })
            }
        }
    }
}

impl aws::RequestSender for AwsTransport {
    fn send<'a>(&'a self, request: aws::AwsHttpRequest<'a>) -> Sent<'a> {
        Box::pin(self.exchange(request))
    }

    /// The host, and the proxy in front of it.
    fn shown(&self, url: &Url) -> String {
        host(url) + &through(self.proxy.as_ref().and_then(|proxy| proxy.of(url)))
    }
}

impl std::fmt::Debug for AwsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AwsTransport")
    }
}
