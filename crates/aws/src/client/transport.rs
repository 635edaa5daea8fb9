//! The trait for sending a request: reqwest in standalone programs, and the telemetry transport in the extension.

use super::endpoint::host;
use super::{AwsResponse, NoResponse};
use http::{HeaderMap, Method};
use std::fmt;
use std::pin::Pin;
use url::Url;

pub struct AwsHttpRequest<'a> {
    pub method: Method,
    pub url: &'a Url,
    /// All headers except the length.
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// `true` if the host is this machine, or one that no proxy reaches.
    pub is_direct: bool,
    pub max_response_bytes: usize,
}

impl fmt::Debug for AwsHttpRequest<'_> {
    /// Shows host and size only: headers contain signatures and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {}, {} bytes)", self.method, host(self.url), self.body.len())
    }
}

pub type Sent<'a> = Pin<Box<dyn Future<Output = Result<AwsResponse, NoResponse>> + Send + 'a>>;

/// Sends one request and returns its response, without retries or redirects. The caller drops the future at the deadline.
pub trait RequestSender: fmt::Debug + Send + Sync {
    fn send<'a>(&'a self, request: AwsHttpRequest<'a>) -> Sent<'a>;

    fn shown(&self, url: &Url) -> String {
        host(url)
    }
}
