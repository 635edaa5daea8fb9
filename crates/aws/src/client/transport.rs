//! What sends a request, seen from those who decide what to send: reqwest in programs of their own, and in the extension what it
//! sends telemetry by.

use super::endpoint::host;
use super::{AwsResponse, NoResponse};
use http::{HeaderMap, Method};
use std::fmt;
use std::pin::Pin;
use url::Url;

/// One request, ready to be sent.
pub struct HttpRequest<'a> {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: &'a Url,
    /// All headers but the length.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// It goes to this machine, or to one that no proxy leads to.
    pub is_direct: bool,
    /// A longer response is an error.
    pub max_response_bytes: usize,
}

impl fmt::Debug for HttpRequest<'_> {
    /// Shows the host and the size only: headers hold signatures and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {}, {} bytes)", self.method, host(self.url), self.body.len())
    }
}

/// A response that is under way.
pub type Sent<'a> = Pin<Box<dyn Future<Output = Result<AwsResponse, NoResponse>> + Send + 'a>>;

/// Sends one request and gives its response. It does not repeat it and does not follow redirects. Whoever calls it drops the future
/// at the deadline.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends the request.
    fn send<'a>(&'a self, request: HttpRequest<'a>) -> Sent<'a>;

    /// The URL's host as errors name it.
    fn shown(&self, url: &Url) -> String {
        host(url)
    }
}
