//! Calls of a service that are repeated after temporary errors.
//!
//! Throttled requests are repeated as [`Attempts`] say, and requests after other temporary errors a few times.

use crate::client::{
    AwsClient, AwsResponse, Caller, ErrorResponse, NoResponse, UnsignedRequest, excerpt,
};
use crate::credentials::{CredentialsProvider, CredentialsSource};
use crate::signature::{ENCODED_IN_PATH, ENCODED_IN_QUERY, PathEncoding};
use http::Method;
use percent_encoding::utf8_percent_encode;
use settings::{Backoff, Jitter, Proxy};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep_until};
use url::Url;

/// Time limit of one attempt. `FilterLogEvents` searches a part of a log group before it answers.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(20);
/// The quotas of most operations are five to fifteen requests a second.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(8));
/// Maximum number of retries after errors other than throttling.
const MAX_RETRIES: u32 = 4;
/// Maximum number of concurrent requests; each needs a connection.
const CONNECTIONS: usize = 8;

/// What all requests to a service have in common.
#[derive(Debug)]
pub struct Service {
    /// Its name in endpoints and signatures: `logs`.
    pub name: &'static str,
    pub path_encoding: PathEncoding,
    pub max_response_bytes: usize,
    /// Reads an error response, which is JSON or XML.
    pub read_error: fn(&AwsResponse) -> ErrorResponse,
    /// Returns `true` for errors with a status below 500 that pass by themselves, apart from throttling.
    pub is_temporary: fn(&ErrorResponse) -> bool,
}

/// How often a throttled request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    UntilDeadline,
    /// This many times, and so after other temporary errors.
    AtMost(u32),
}

/// How requests reach a service.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    pub credentials: CredentialsSource,
    pub region: String,
    pub endpoint: Url,
    pub proxy: Option<Proxy>,
    pub attempts: Attempts,
}

/// A service in a region.
#[derive(Debug)]
pub struct Api {
    service: &'static Service,
    region: String,
    endpoint: Url,
    credentials: CredentialsProvider,
    client: AwsClient,
    attempts: Attempts,
}

/// A request of an operation.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    pub method: Method,
    /// The path below the endpoint, without a slash at its begin, encoded.
    path: String,
    pub query: Vec<(&'static str, String)>,
    /// Lower-case names, such as `content-type` and `x-amz-target`.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl ApiRequest {
    /// A request without headers and body. The path is not encoded; its slashes divide it.
    pub fn new(method: Method, path: impl AsRef<str>) -> Self {
        let path = utf8_percent_encode(path.as_ref(), ENCODED_IN_PATH).to_string();
        Self { method, path, query: Vec::new(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a part to the path, whose slashes do not divide it.
    #[must_use]
    pub fn below(mut self, part: &str) -> Self {
        self.path.push('/');
        self.path.extend(utf8_percent_encode(part, ENCODED_IN_QUERY));
        self
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.push(("content-type", content_type.to_owned()));
        self.body = body.into();
        self
    }

    /// A request of AWS's JSON protocol: `target` is `AmazonSQS.SendMessage`, `version` is `1.0` or `1.1`.
    pub fn new_json(version: &str, target: String, body: &serde_json::Value) -> Self {
        let mut request = Self::new(Method::POST, "")
            .with_body(&format!("application/x-amz-json-{version}"), body.to_string());
        request.headers.push(("x-amz-target", target));
        request
    }
}

/// A call without success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    #[error("{}", describe_refusal(.0))]
    Refused(Refusal),
    /// The answer came from another server, a proxy for example.
    #[error("HTTP {0} without an answer of AWS: check AWS_ENDPOINT_URL and proxies")]
    NotOfAws(u16),
    #[error("an answer of an unexpected form: check AWS_ENDPOINT_URL and proxies")]
    Unreadable,
    #[error("{0}")]
    NoAnswer(NoResponse),
    #[error("{0}")]
    NoCredentials(String),
    /// The deadline passed, after this error of the last attempt.
    #[error("{}", describe_late(.0.as_deref()))]
    Late(Option<Box<ApiError>>),
}

/// An error that the service states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// `AccessDeniedException`
    pub code: String,
    /// May be empty.
    pub message: String,
}

fn describe_refusal(refusal: &Refusal) -> String {
    let Refusal { code, message, .. } = refusal;
    if message.is_empty() { code.clone() } else { format!("{code}: {}", excerpt(message)) }
}

fn describe_late(cause: Option<&ApiError>) -> String {
    match cause {
        Some(cause) => format!("{cause}; the deadline has passed"),
        None => "not called: the deadline has passed".to_owned(),
    }
}

impl ApiError {
    /// AWS's code, if AWS answered: `AccessDeniedException`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(Refusal { code, .. }) => Some(code),
            _ => None,
        }
    }

    /// Returns `true` if the same call may succeed later without a change.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Late(_))
    }
}

/// A call that was sent once without success.
#[derive(Debug)]
struct FailedAttempt {
    error: ApiError,
    retry: Retry,
}

/// How often a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    /// A temporary error.
    AFewTimes,
    /// Throttling: the request will succeed at a lower rate.
    WhenThrottled,
}

impl Api {
    /// Makes a client that keeps connections; `clock` gives the signing time.
    pub fn new(
        service: &'static Service,
        settings: ApiSettings,
        caller: Caller,
        clock: fn() -> SystemTime,
    ) -> Self {
        let client =
            AwsClient::keeping_connections(clock, caller, settings.proxy.clone(), CONNECTIONS);
        Self::with_client(service, settings, client)
    }

    /// Sends with this client, which knows the proxy.
    pub fn with_client(
        service: &'static Service,
        settings: ApiSettings,
        client: AwsClient,
    ) -> Self {
        let ApiSettings { credentials, region, endpoint, proxy: _, attempts } = settings;
        let credentials = CredentialsProvider::of(credentials);
        Self { service, region, endpoint, credentials, client, attempts }
    }

    pub fn wall_clock(&self) -> SystemTime {
        self.client.wall_clock()
    }

    /// Sends a request until it succeeds, fails permanently, or the deadline passes.
    pub async fn send(
        &self,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<AwsResponse, ApiError> {
        let most = match self.attempts {
            Attempts::UntilDeadline => u32::MAX,
            Attempts::AtMost(most) => most,
        };
        let mut attempt = 0_u32;
        let mut retries = 0;
        loop {
            if Instant::now() >= deadline {
                return Err(ApiError::Late(None));
            }
            let FailedAttempt { error, retry } = match self.attempt(request, deadline).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            match retry {
                Retry::Never => return Err(error),
                Retry::AFewTimes if retries == MAX_RETRIES => return Err(error),
                Retry::AFewTimes => retries += 1,
                Retry::WhenThrottled => {}
            }
            attempt = attempt.saturating_add(1);
            if attempt >= most {
                return Err(error);
            }
            let next = Instant::now() + BACKOFF.delay(attempt - 1, self.jitter());
            if next >= deadline {
                return Err(ApiError::Late(Some(Box::new(error))));
            }
            sleep_until(next).await;
        }
    }

    /// Sends a request once. For operations that must not be carried out twice.
    pub async fn send_once(
        &self,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<AwsResponse, ApiError> {
        self.attempt(request, deadline).await.map_err(|failed| failed.error)
    }

    async fn attempt(
        &self,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<AwsResponse, FailedAttempt> {
        let url = self.url(request);
        let headers = request.headers.iter().map(|(name, text)| (*name, text.as_str()));
        let unsigned = UnsignedRequest {
            credentials: &self.credentials,
            service: self.service.name,
            region: &self.region,
            method: request.method.clone(),
            url: &url,
            headers: headers.collect(),
            body: request.body.clone(),
            path_encoding: self.service.path_encoding,
            deadline: deadline.min(Instant::now() + LONGEST_ATTEMPT),
            max_response_bytes: self.service.max_response_bytes,
        };
        let response = match self.client.sign_and_send(unsigned).await {
            Ok(response) => response,
            Err(cause) => return Err(unanswered(cause)),
        };
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(self.refused(&response))
    }

    fn refused(&self, response: &AwsResponse) -> FailedAttempt {
        let status = response.status;
        let refusal = (self.service.read_error)(response);
        let retry = if refusal.is_throttled {
            Retry::WhenThrottled
        } else if status >= 500 || (self.service.is_temporary)(&refusal) {
            Retry::AFewTimes
        } else {
            Retry::Never
        };
        let ErrorResponse { code, message, .. } = refusal;
        let error = if code.is_empty() {
            ApiError::NotOfAws(status)
        } else {
            ApiError::Refused(Refusal { status, code, message })
        };
        FailedAttempt { error, retry }
    }

    /// The endpoint with the request's path and query.
    fn url(&self, request: &ApiRequest) -> Url {
        let mut url = self.endpoint.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/{}", request.path));
        let encode = |text: &str| utf8_percent_encode(text, ENCODED_IN_QUERY).to_string();
        let pairs = request.query.iter();
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        url.set_query((!pairs.is_empty()).then(|| pairs.join("&")).as_deref());
        url
    }

    /// The jitter of the time, which differs between throttled callers.
    fn jitter(&self) -> Jitter {
        let since = self.client.wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Jitter::of(&since.as_micros())
    }
}

fn unanswered(cause: NoResponse) -> FailedAttempt {
    match cause {
        NoResponse::NoCredentials(text) => {
            FailedAttempt { error: ApiError::NoCredentials(text), retry: Retry::Never }
        }
        cause => FailedAttempt { error: ApiError::NoAnswer(cause), retry: Retry::AFewTimes },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::LOGS_SERVICE;
    use crate::signature::Credentials;
    use settings::Secret;
    use std::str::FromStr as _;

    fn api(endpoint: &str) -> Api {
        let credentials = CredentialsSource::Variables(Credentials {
            access_key_id: "AKIDTEST".to_owned(),
            secret_access_key: Secret::new("hunter2"),
            session_token: None,
        });
        let endpoint = Url::from_str(endpoint).unwrap();
        let region = "eu-west-1".to_owned();
        let settings = ApiSettings {
            credentials,
            region,
            endpoint,
            proxy: None,
            attempts: Attempts::UntilDeadline,
        };
        Api::new(&LOGS_SERVICE, settings, Caller::Function, || UNIX_EPOCH)
    }

    #[test]
    fn a_refusal_is_repeated_if_it_may_pass() {
        let api = api("http://127.0.0.1:1");
        let check = |status, body: &str, expected: Retry, words: &str| {
            let failed = api.refused(&AwsResponse::new(status, body));
            assert_eq!(failed.retry, expected, "{body}");
            assert_eq!(failed.error.to_string(), words, "{body}");
        };
        let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
        check(400, throttled, Retry::WhenThrottled, "ThrottlingException: Rate exceeded");
        let words = "HTTP 429 without an answer of AWS: check AWS_ENDPOINT_URL and proxies";
        check(429, "slow down", Retry::WhenThrottled, words);
        let unavailable = r#"{"__type":"ServiceUnavailableException"}"#;
        check(503, unavailable, Retry::AFewTimes, "ServiceUnavailableException");
        for message in [
            "Could not execute the lambda function.",
            "Could not deliver test message to specified Kinesis stream.",
        ] {
            let body = format!(r#"{{"__type":"InvalidParameterException","message":"{message}"}}"#);
            let words = format!("InvalidParameterException: {message}");
            check(400, &body, Retry::AFewTimes, &words);
        }
        let denied = r#"{"__type":"AccessDeniedException","message":"not you"}"#;
        check(400, denied, Retry::Never, "AccessDeniedException: not you");
        check(
            400,
            r#"{"__type":"LimitExceededException"}"#,
            Retry::Never,
            "LimitExceededException",
        );
    }

    #[test]
    fn a_path_and_a_query_are_encoded_below_the_endpoint() {
        let api = api("http://127.0.0.1:4566/stand-in/");
        let request = ApiRequest::new(Method::GET, "functions/arn:aws:x y/policy")
            .with("Qualifier", "a/b c+d");
        assert_eq!(
            api.url(&request).as_str(),
            "http://127.0.0.1:4566/stand-in/functions/arn%3Aaws%3Ax%20y/policy?Qualifier=a%2Fb%20c%2Bd"
        );
        let request = ApiRequest::new(Method::GET, "executions").below("a:b/c d").below("history");
        assert_eq!(api.url(&request).path(), "/stand-in/executions/a%3Ab%2Fc%20d/history");
        let root = ApiRequest::new(Method::POST, "");
        assert_eq!(api.url(&root).as_str(), "http://127.0.0.1:4566/stand-in/");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_refuses_connections_is_asked_until_the_attempts_or_the_time_end() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let api = api(&format!("http://{address}"));
        let said = format!("cannot reach {address}: Connection refused (os error 111)");
        for (time, expected) in [
            (Duration::from_mins(2), said.clone()),
            (Duration::from_millis(100), format!("{said}; the deadline has passed")),
        ] {
            let request = ApiRequest::new(Method::GET, "");
            let error = api.send(&request, Instant::now() + time).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
