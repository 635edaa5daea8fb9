//! The client of AWS's JSON protocols, for secrets, parameters and queues: one signed request, sent once, bounded in time and
//! size, never redirected. Errors state whether the request may have arrived.

mod credentials;
mod endpoint;
mod error;
mod request;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod response;
mod signature;
mod transport;

pub use credentials::Credentials;
pub use endpoint::{host, service_endpoint};
pub use error::{NoResponse, TIMED_OUT};
pub use request::SignedRequest;
pub use response::AwsResponse;
pub(crate) use response::excerpt;
pub use transport::{AwsHttpRequest, RequestSender, Sent};

use http::{HeaderMap, Method};
use request::signed;
#[cfg(feature = "reqwest")]
use settings::Proxy;
use std::time::SystemTime;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// S3 answers a put with an empty body, or with an error of a few hundred bytes.
const MAX_PUT_RESPONSE_BYTES: usize = 64 * 1024;

/// Sends signed requests, each on a new connection unless [created otherwise](Self::keeping_connections). Minutes and a freeze of
/// the environment may pass between two requests: a kept connection would break with the next request half sent.
#[derive(Debug)]
pub struct AwsClient {
    clock: fn() -> SystemTime,
    transport: Box<dyn RequestSender>,
}

impl AwsClient {
    /// Uses this transport; `clock` gives the signing time.
    pub fn by(transport: impl RequestSender + 'static, clock: fn() -> SystemTime) -> Self {
        Self { clock, transport: Box::new(transport) }
    }

    #[cfg(feature = "reqwest")]
    pub fn new(clock: fn() -> SystemTime, proxy: Option<Proxy>) -> Self {
        Self::keeping_connections(clock, proxy, 0)
    }

    /// Like [`Self::new`], and keeps this many connections. For many requests in a row that are safe to send twice.
    #[cfg(feature = "reqwest")]
    pub fn keeping_connections(
        clock: fn() -> SystemTime,
        proxy: Option<Proxy>,
        most: usize,
    ) -> Self {
        Self::by(reqwest_transport::ReqwestTransport::new(proxy, most), clock)
    }

    pub fn wall_clock(&self) -> SystemTime {
        (self.clock)()
    }

    pub async fn send(&self, request: SignedRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let (endpoint, deadline) = (request.endpoint, request.deadline);
        let request = signed(request, &host(endpoint), self.wall_clock())?;
        self.send_unsigned(request, deadline).await
    }

    /// Puts a body once to a presigned URL, such as CloudFormation's for custom resources. Without a content type, which would
    /// have to be signed.
    pub async fn put_presigned(
        &self,
        url: &Url,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<AwsResponse, NoResponse> {
        let request = AwsHttpRequest {
            method: Method::PUT,
            url,
            headers: HeaderMap::new(),
            body,
            is_direct: false,
            max_response_bytes: MAX_PUT_RESPONSE_BYTES,
        };
        self.send_unsigned(request, deadline).await
    }

    pub(crate) async fn send_unsigned(
        &self,
        request: AwsHttpRequest<'_>,
        deadline: Instant,
    ) -> Result<AwsResponse, NoResponse> {
        let url = request.url;
        match timeout_at(deadline, self.transport.send(request)).await {
            Ok(response) => response,
            Err(_) => Err(NoResponse::Deadline { host: self.transport.shown(url) }),
        }
    }
}
