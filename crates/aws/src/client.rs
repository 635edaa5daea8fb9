//! The client of AWS's JSON protocols, for secrets, parameters and queues: one signed request, sent once, bounded in time and
//! size, never redirected. Errors state whether the request may have arrived.

use crate::credentials::CredentialsProvider;
use crate::reqwest_transport::ReqwestTransport;
use crate::signature::{Credentials, Scope, amz_date, authorization};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use settings::Proxy;
use std::fmt;
use std::pin::Pin;
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
    pub(crate) transport: Box<dyn RequestSender>,
}

impl AwsClient {
    /// Uses this transport; `clock` gives the signing time.
    pub fn with_transport(
        transport: impl RequestSender + 'static,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self { clock, transport: Box::new(transport) }
    }

    pub fn new(clock: fn() -> SystemTime, proxy: Option<Proxy>) -> Self {
        Self::keeping_connections(clock, proxy, 0)
    }

    /// Like [`Self::new`], and keeps this many connections. For many requests in a row that are safe to send twice.
    pub fn keeping_connections(
        clock: fn() -> SystemTime,
        proxy: Option<Proxy>,
        max_connections: usize,
    ) -> Self {
        Self::with_transport(ReqwestTransport::new(proxy, max_connections), clock)
    }

    pub fn wall_clock(&self) -> SystemTime {
        (self.clock)()
    }

    /// Signs a request with the current credentials and sends it once. The request's deadline covers both.
    pub(crate) async fn send(&self, request: JsonRequest<'_>) -> Result<AwsResponse, NoResponse> {
        let deadline = request.deadline;
        let credentials = request
            .credentials
            .current(self, deadline)
            .await
            .map_err(|error| NoResponse::NotSent(error.to_string()))?;
        let signed = sign(request, &credentials, self.wall_clock())?;
        self.send_until(deadline, signed).await
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
            max_response_bytes: MAX_PUT_RESPONSE_BYTES,
        };
        self.send_until(deadline, request).await
    }

    async fn send_until(
        &self,
        deadline: Instant,
        request: AwsHttpRequest<'_>,
    ) -> Result<AwsResponse, NoResponse> {
        let url = request.url;
        timeout_at(deadline, self.transport.send(request)).await.unwrap_or_else(|_| {
            let host = self.transport.describe_host(url);
            Err(NoResponse::Ambiguous(unreachable(&host, TIMED_OUT)))
        })
    }
}

pub(crate) const DEFAULT_DOMAIN: &str = "amazonaws.com";

/// A group of regions with their own accounts and domain.
pub(crate) struct Partition {
    /// Its name in ARNs.
    name: &'static str,
    /// The beginning of its regions' names.
    region_prefix: &'static str,
    pub(crate) domain: &'static str,
}

/// Partitions other than `aws` (AWS General Reference, "Service endpoints").
pub(crate) const PARTITIONS: [Partition; 7] = [
    Partition { name: "aws-cn", region_prefix: "cn-", domain: "amazonaws.com.cn" },
    Partition { name: "aws-us-gov", region_prefix: "us-gov-", domain: DEFAULT_DOMAIN },
    Partition { name: "aws-iso", region_prefix: "us-iso-", domain: "c2s.ic.gov" },
    Partition { name: "aws-iso-b", region_prefix: "us-isob-", domain: "sc2s.sgov.gov" },
    Partition { name: "aws-iso-e", region_prefix: "eu-isoe-", domain: "cloud.adc-e.uk" },
    Partition { name: "aws-iso-f", region_prefix: "us-isof-", domain: "csp.hci.ic.gov" },
    Partition { name: "aws-eusc", region_prefix: "eusc-", domain: "amazonaws.eu" },
];

/// The partition of a region; `None` for `aws`.
fn partition_of(region: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| region.starts_with(partition.region_prefix))
}

/// The name of a region's partition, as in ARNs.
pub(crate) fn partition_name(region: &str) -> &'static str {
    partition_of(region).map_or("aws", |partition| partition.name)
}

/// `https://secretsmanager.eu-west-1.amazonaws.com/` in the region's partition (AWS General Reference, "Service endpoints"). `None`
/// if it is not a region's name.
pub(crate) fn service_endpoint(service: &str, region: &str) -> Option<Url> {
    let is_region = !region.is_empty()
        && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let domain = partition_of(region).map_or(DEFAULT_DOMAIN, |partition| partition.domain);
    let url = format!("https://{service}.{region}.{domain}/");
    is_region.then(|| Url::parse(&url).ok()).flatten()
}

/// The endpoint's host, with its port unless that is the default.
pub(crate) fn host(endpoint: &Url) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    endpoint.host_str().unwrap_or_default().to_owned() + &port
}

/// The reason for a missing response. Contains only the host of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoResponse {
    /// The request cannot be made.
    #[error("{0}")]
    NotMade(&'static str),
    /// Nothing was sent, without credentials or a connection.
    #[error("{0}")]
    NotSent(String),
    /// The service may have carried out the request.
    #[error("{0}")]
    Ambiguous(String),
    /// Like `Ambiguous`: the response exceeds the request's limit, and would again.
    #[error("{0}")]
    TooLong(String),
}

pub(crate) fn unreachable(host: &str, cause: &str) -> String {
    format!("cannot reach {host}: {cause}")
}

/// The cause if a service takes too long.
pub(crate) const TIMED_OUT: &str =
    "timed out; does the function's VPC have a way to it, such as a VPC endpoint?";

/// A request of an operation by one of AWS's JSON protocols, which the client signs.
pub(crate) struct JsonRequest<'a> {
    pub(crate) credentials: &'a CredentialsProvider,
    /// The service's name in signatures: `sqs`.
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) endpoint: &'a Url,
    /// `application/x-amz-json-1.0` or `-1.1`, depending on the service.
    pub(crate) content_type: &'a str,
    /// The operation: `AmazonSQS.SendMessageBatch`.
    pub(crate) target: &'a str,
    pub(crate) body: Vec<u8>,
    pub(crate) deadline: Instant,
    pub(crate) max_response_bytes: usize,
}

/// Signs all headers of a request except the length.
fn sign<'a>(
    request: JsonRequest<'a>,
    credentials: &Credentials,
    time: SystemTime,
) -> Result<AwsHttpRequest<'a>, NoResponse> {
    let JsonRequest { service, region, endpoint: url, content_type, target, body, .. } = request;
    if url.query().is_some() {
        return Err(NoResponse::NotMade("an AWS endpoint must not have a query"));
    }
    let time = amz_date(time);
    let host = host(url);
    let scope = Scope { service, region, time: &time };
    // In alphabetical order, as the signature has them.
    let mut texts = vec![("content-type", content_type), ("host", &host), ("x-amz-date", &time)];
    let token = credentials.session_token.as_ref();
    texts.extend(token.map(|token| ("x-amz-security-token", token.expose())));
    texts.push(("x-amz-target", target));
    let authorization = authorization(&scope, credentials, url, &texts, &body);
    texts.push(("authorization", &authorization));
    let mut headers = HeaderMap::new();
    for (name, text) in texts {
        let invalid = "the credentials contain characters that a header cannot";
        let mut value = HeaderValue::from_str(text).map_err(|_| NoResponse::NotMade(invalid))?;
        value.set_sensitive(matches!(name, "authorization" | "x-amz-security-token"));
        headers.insert(HeaderName::from_static(name), value);
    }
    let max_response_bytes = request.max_response_bytes;
    Ok(AwsHttpRequest { method: Method::POST, url, headers, body, max_response_bytes })
}

/// A response, successful or not.
#[derive(Debug)]
pub struct AwsResponse {
    pub status: u16,
    /// At most the request's limit of bytes.
    pub body: Vec<u8>,
}

/// The content of an error response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    /// `AccessDeniedException`; empty if the response does not come from the service.
    pub(crate) code: String,
    /// May be empty.
    pub(crate) message: String,
    /// `true` if the request will succeed at a lower rate.
    pub(crate) is_throttled: bool,
}

impl AwsResponse {
    /// Code and message of an error response: `{"__type":"com.amazonaws…#AccessDeniedException","Message":"…"}`. The code may
    /// also be in `code`, the message in either case, and both may repeat (Smithy, "AWS JSON 1.0 protocol", "Operation error
    /// serialization").
    pub(crate) fn refusal(&self) -> ErrorResponse {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let first = |names: [&str; 2]| {
            let mut texts = names.iter().filter_map(|name| body.get(name)?.as_str());
            texts.find(|text| !text.is_empty()).unwrap_or_default()
        };
        // A namespace precedes the code, and some responses append a URL.
        let qualified = first(["__type", "code"]);
        let with_url = qualified.rsplit('#').next().unwrap_or_default();
        let code = with_url.split(':').next().unwrap_or_default();
        let is_throttled = self.status == 429 || is_throttling(code);
        let message = first(["message", "Message"]).to_owned();
        ErrorResponse { code: code.to_owned(), message, is_throttled }
    }
}

pub(crate) fn is_throttling(code: &str) -> bool {
    ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "OverLimit"]
        .iter()
        .any(|throttling| code.contains(throttling))
}

/// A service's text on one line, cut to 300 characters.
pub(crate) fn excerpt(text: &str) -> String {
    one_line(text, 300)
}

/// A text of a server on one line, cut to this number of characters.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let head: String = line.chars().take(max_chars).collect();
    if head.len() < line.len() { format!("{head}…") } else { head }
}

pub struct AwsHttpRequest<'a> {
    pub method: Method,
    pub url: &'a Url,
    /// All headers except the length.
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub max_response_bytes: usize,
}

impl fmt::Debug for AwsHttpRequest<'_> {
    /// Shows host and size only: headers contain signatures and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {}, {} bytes)", self.method, host(self.url), self.body.len())
    }
}

/// The sending of a request.
pub type ResponseFuture<'a> =
    Pin<Box<dyn Future<Output = Result<AwsResponse, NoResponse>> + Send + 'a>>;

/// Sends one request and returns its response, without retries or redirects. The caller drops the future at the deadline.
pub trait RequestSender: fmt::Debug + Send + Sync {
    fn send<'a>(&'a self, request: AwsHttpRequest<'a>) -> ResponseFuture<'a>;

    /// Names the host of a URL for an error, with the proxy on the way to it.
    fn describe_host(&self, url: &Url) -> String {
        host(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_use_the_domain_of_their_partition() {
        for (region, expected) in [
            ("eu-west-1", Some("https://ssm.eu-west-1.amazonaws.com/")),
            ("cn-north-1", Some("https://ssm.cn-north-1.amazonaws.com.cn/")),
            ("us-gov-west-1", Some("https://ssm.us-gov-west-1.amazonaws.com/")),
            ("us-iso-east-1", Some("https://ssm.us-iso-east-1.c2s.ic.gov/")),
            ("us-isob-east-1", Some("https://ssm.us-isob-east-1.sc2s.sgov.gov/")),
            ("eu-isoe-west-1", Some("https://ssm.eu-isoe-west-1.cloud.adc-e.uk/")),
            ("us-isof-south-1", Some("https://ssm.us-isof-south-1.csp.hci.ic.gov/")),
            ("eusc-de-east-1", Some("https://ssm.eusc-de-east-1.amazonaws.eu/")),
            ("evil.example.com/", None),
            ("", None),
        ] {
            assert_eq!(service_endpoint("ssm", region).as_ref().map(Url::as_str), expected);
        }
    }
}
