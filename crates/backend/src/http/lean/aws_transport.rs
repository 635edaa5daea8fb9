//! What is asked of AWS beside telemetry, by the same HTTP and TLS: each request on a connection of its own.

use super::connection::{Connections, Version};
use super::{Trouble, tls};
use crate::http::cause::cause;
use aws::{AwsResponse, NoResponse, Sent, host};
use http::Request;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

/// Sends requests to AWS's services, which knows no proxies. TLS is prepared for the first request, since that takes milliseconds.
#[derive(Default)]
pub struct AwsTransport {
    tls: OnceLock<TlsConnector>,
}

impl AwsTransport {
    /// `None` without TLS, as a stand-in for AWS has none.
    fn tls(&self, url: &Url) -> Result<Option<TlsConnector>, NoResponse> {
        if url.scheme() == "http" {
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

    async fn exchange(&self, request: aws::HttpRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let (url, most) = (request.url, request.max_response_bytes);
        let connections = Connections::new(self.tls(url)?, Version::Http1);
        let message = || -> Result<_, Trouble> {
            let uri = &url[Position::BeforePath..Position::AfterQuery];
            let mut message =
                Request::builder().method(request.method).uri(uri).body(request.body.into())?;
            *message.headers_mut() = request.headers;
            if !message.headers().contains_key(http::header::HOST) {
                message.headers_mut().insert(http::header::HOST, host(url).parse()?);
            }
            Ok(message)
        };
        let message = message().map_err(|_| NoResponse::NotMade("the request cannot be made"))?;
        let sent = AtomicBool::new(false);
        let response = connections.exchange(url, message, most, &sent).await;
        let host = host(url);
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

impl aws::Transport for AwsTransport {
    fn send<'a>(&'a self, request: aws::HttpRequest<'a>) -> Sent<'a> {
        Box::pin(self.exchange(request))
    }
}

impl std::fmt::Debug for AwsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AwsTransport")
    }
}
