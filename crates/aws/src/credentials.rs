//! The credentials for AWS requests and their sources.

use crate::client::{AwsClient, AwsHttpRequest, NoResponse};
use crate::signature::Credentials;
use crate::variables::{
    ACCESS_KEY_ID, AUTHORIZATION_TOKEN, CREDENTIALS_FULL_URI, SECRET_ACCESS_KEY, SESSION_TOKEN,
};
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use settings::{Reader, Secret, is_local};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;
use wire::timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsSource {
    /// Variables, which Lambda sets for the lifetime of an environment.
    Variables(Credentials),
    /// An endpoint in the execution environment with expiring credentials. Lambda sets it instead of the variables for
    /// environments that may outlive their credentials, for example snapshots.
    Endpoint(CredentialsEndpoint),
    /// Another program's way, such as the profiles of a person's machine.
    Loader(CredentialsLoader),
}

impl CredentialsSource {
    /// Reads the rows of [`AWS`](crate::AWS). `None` without a complete key or an endpoint.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let access_key_id = reader.read(ACCESS_KEY_ID);
        let secret_access_key = reader.read(SECRET_ACCESS_KEY);
        let session_token = reader.read(SESSION_TOKEN);
        let endpoint = CredentialsEndpoint::read(reader);
        match access_key_id.zip(secret_access_key) {
            Some((access_key_id, secret_access_key)) => Some(Self::Variables(Credentials {
                access_key_id,
                secret_access_key,
                session_token,
            })),
            None => endpoint.map(Self::Endpoint),
        }
    }
}

/// Gives valid credentials from a source.
#[derive(Debug)]
pub(crate) struct CredentialsProvider {
    source: CredentialsSource,
    /// The last answer of an endpoint.
    cached: Mutex<Option<ExpiringCredentials>>,
}

/// Loads credentials, which are kept until shortly before they expire. Clones share them.
#[derive(Clone, Debug)]
pub struct CredentialsLoader {
    load: Arc<dyn LoadCredentials>,
    cached: Arc<Mutex<Option<ExpiringCredentials>>>,
}

/// A way to credentials.
pub trait LoadCredentials: fmt::Debug + Send + Sync {
    fn load(&self) -> LoadFuture<'_>;
}

/// Credentials, or why there are none and what to do, in words for a person.
pub type LoadFuture<'a> =
    Pin<Box<dyn Future<Output = Result<ExpiringCredentials, String>> + Send + 'a>>;

impl CredentialsLoader {
    pub fn new(load: impl LoadCredentials + 'static) -> Self {
        Self { load: Arc::new(load), cached: Arc::default() }
    }

    /// Returns valid credentials at this time.
    pub async fn current(&self, now: SystemTime) -> Result<Credentials, String> {
        cached_or_new(&self.cached, now, self.load.load()).await
    }
}

impl PartialEq for CredentialsLoader {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.load, &other.load)
    }
}

impl Eq for CredentialsLoader {}

/// Returns what is cached, or asks for new credentials. While asking fails, the old ones are used until they expire.
async fn cached_or_new<E>(
    cached: &Mutex<Option<ExpiringCredentials>>,
    now: SystemTime,
    ask: impl Future<Output = Result<ExpiringCredentials, E>>,
) -> Result<Credentials, E> {
    // Concurrent callers wait for one answer.
    let mut cached = cached.lock().await;
    if let Some(recent) = cached.as_ref().filter(|cached| !cached.should_be_renewed(now)) {
        return Ok(recent.credentials.clone());
    }
    match ask.await {
        Ok(new) => Ok(cached.insert(new).credentials.clone()),
        Err(error) => match cached.as_ref().filter(|cached| cached.are_valid(now)) {
            Some(old) => Ok(old.credentials.clone()),
            None => Err(error),
        },
    }
}

impl CredentialsProvider {
    pub(crate) fn of(source: CredentialsSource) -> Self {
        Self { source, cached: Mutex::default() }
    }

    /// Returns currently valid credentials by `deadline`. An endpoint's are renewed early with this client; while renewal fails,
    /// the old ones are used until they expire.
    pub(crate) async fn current(
        &self,
        client: &AwsClient,
        deadline: Instant,
    ) -> Result<Credentials, NoCredentials> {
        match &self.source {
            CredentialsSource::Variables(credentials) => Ok(credentials.clone()),
            CredentialsSource::Endpoint(endpoint) => {
                let asked = cached_or_new(&self.cached, client.wall_clock(), endpoint.ask(client));
                timeout_at(deadline, asked)
                    .await
                    .unwrap_or(Err(EndpointProblem::TimedOut))
                    .map_err(NoCredentials::Endpoint)
            }
            CredentialsSource::Loader(loader) => {
                loader.current(client.wall_clock()).await.map_err(NoCredentials::Loader)
            }
        }
    }
}

/// The reason why there are no credentials. Contains no part of them, nor of the token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCredentials {
    #[error("no credentials from {CREDENTIALS_FULL_URI}: {0}")]
    Endpoint(EndpointProblem),
    #[error("{0}")]
    Loader(String),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointProblem {
    #[error("the token has characters that a header cannot")]
    Token,
    #[error("timed out")]
    TimedOut,
    #[error("{0}")]
    NoResponse(NoResponse),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer contains no credentials")]
    WithoutCredentials,
    #[error("its answer has no readable expiration")]
    Expiration,
}

/// Time limit of a request to the endpoint.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Credentials are renewed this long before they expire, because a request arrives some time after it is signed.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsEndpoint {
    url: Url,
    token: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsAnswer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

#[derive(Debug)]
pub struct ExpiringCredentials {
    pub credentials: Credentials,
    /// `None` if they never expire.
    pub expires: Option<SystemTime>,
}

impl ExpiringCredentials {
    fn should_be_renewed(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| now + RENEWAL_MARGIN >= expires)
    }

    fn are_valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl CredentialsEndpoint {
    /// `None` if the variable is unset, or names a host that must not receive the token.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.read(CREDENTIALS_FULL_URI)?;
        let token = reader.read(AUTHORIZATION_TOKEN);
        // The AWS SDKs accept them too ("Container credential provider").
        let container_hosts = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
        let is_of_container = url.host_str().is_some_and(|host| container_hosts.contains(&host));
        if url.scheme() != "https" && !is_local(&url) && !is_of_container {
            let problem =
                "without TLS it must be on this machine or at an address of AWS's containers";
            reader.mistake(CREDENTIALS_FULL_URI, problem);
            return None;
        }
        Some(Self { url, token })
    }

    async fn ask(&self, client: &AwsClient) -> Result<ExpiringCredentials, EndpointProblem> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let mut value =
                HeaderValue::from_str(token.expose()).map_err(|_| EndpointProblem::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let request = AwsHttpRequest {
            method: Method::GET,
            url: &self.url,
            headers,
            body: Vec::new(),
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let response = timeout(TIMEOUT, client.transport.send(request))
            .await
            .map_err(|_| EndpointProblem::TimedOut)?
            .map_err(EndpointProblem::NoResponse)?;
        if !(200..300).contains(&response.status) {
            return Err(EndpointProblem::Status(response.status));
        }
        let answer: CredentialsAnswer = serde_json::from_slice(&response.body)
            .map_err(|_| EndpointProblem::WithoutCredentials)?;
        let expires = match answer.expiration {
            None => None,
            Some(text) => {
                let nanos = timestamp::parse(&text).ok_or(EndpointProblem::Expiration)?;
                Some(UNIX_EPOCH + Duration::from_nanos(nanos))
            }
        };
        let credentials = Credentials {
            access_key_id: answer.access_key_id,
            secret_access_key: Secret::new(answer.secret_access_key),
            session_token: answer.token.map(Secret::new),
        };
        Ok(ExpiringCredentials { credentials, expires })
    }
}
