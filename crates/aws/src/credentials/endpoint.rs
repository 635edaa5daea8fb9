//! The endpoint in the execution environment that gives out the role's credentials.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Container credential provider"; Lambda Developer Guide, "Lambda SnapStart".

use super::Credentials;
use crate::variables::{AUTHORIZATION_TOKEN, AUTHORIZATION_TOKEN_FILE, CREDENTIALS_FULL_URI};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;
use settings::{Reader, Secret};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use url::{Host, Url};

/// It is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Credentials are asked for again so long before they expire: what is signed shortly before is received shortly after.
const AHEAD: Duration = Duration::from_mins(5);
/// The answer has three strings and a time.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Where credentials are asked for, and with which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsEndpoint {
    url: Url,
    token: Option<Secret>,
    /// Read at each request: what is in it is renewed too.
    token_file: Option<String>,
}

/// Why an endpoint gave no credentials; never any part of them or of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no credentials from {CREDENTIALS_FULL_URI}: {problem}")]
pub struct CredentialsError {
    problem: String,
}

/// The endpoint's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

/// Credentials that expire.
#[derive(Debug)]
pub(super) struct Renewed {
    pub(super) credentials: Credentials,
    expires: Option<SystemTime>,
}

impl Renewed {
    pub(super) fn should_be_renewed(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| now + AHEAD >= expires)
    }

    pub(super) fn is_good(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl CredentialsEndpoint {
    /// `None` where the variable is unset, or names a host that must not be given the token.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.url(CREDENTIALS_FULL_URI)?;
        let token = reader.secret(AUTHORIZATION_TOKEN);
        let token_file = reader.string_if_set(AUTHORIZATION_TOKEN_FILE);
        if url.scheme() != "https" && !is_local(&url) {
            let problem = "without TLS it must be on this machine or at the address of ECS or EKS";
            reader.mistake(CREDENTIALS_FULL_URI, problem);
            return None;
        }
        Some(Self { url, token, token_file })
    }

    pub(super) async fn ask(&self) -> Result<Renewed, CredentialsError> {
        let failed = |problem: String| CredentialsError { problem };
        // This fails where another part of the process has installed a provider, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT);
        let builder =
            if self.url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|_| failed("no client for HTTPS".to_owned()))?;
        let mut request = client.get(self.url.clone());
        if let Some(token) = self.token().await? {
            let mut value = reqwest::header::HeaderValue::from_str(token.expose())
                .map_err(|_| failed("the token has characters that a header cannot".to_owned()))?;
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        let unreachable = |error: reqwest::Error| {
            let what = if error.is_timeout() { "timed out" } else { "cannot be reached" };
            failed(what.to_owned())
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(format!("it answered {}", status.as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(failed("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| failed("its answer is no credentials".to_owned()))?;
        let expires = match answer.expiration {
            None => None,
            Some(text) => {
                let time = DateTime::from_str(&text, Format::DateTime).ok();
                let time = time.and_then(|time| SystemTime::try_from(time).ok());
                Some(
                    time.ok_or_else(|| failed("its answer has no readable expiration".to_owned()))?,
                )
            }
        };
        let credentials = Credentials {
            access_key_id: answer.access_key_id,
            secret_access_key: Secret::new(answer.secret_access_key),
            session_token: answer.token.map(Secret::new),
        };
        Ok(Renewed { credentials, expires })
    }

    /// The token of the file where there is one, else of the variable.
    async fn token(&self) -> Result<Option<Secret>, CredentialsError> {
        let Some(path) = &self.token_file else { return Ok(self.token.clone()) };
        let problem = |error: std::io::Error| CredentialsError {
            problem: format!("{AUTHORIZATION_TOKEN_FILE} cannot be read: {}", error.kind()),
        };
        let text = tokio::fs::read_to_string(path).await.map_err(problem)?;
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
    }
}

/// Whether the token may go to this host without TLS: to this machine, or to the addresses of ECS and EKS.
fn is_local(url: &Url) -> bool {
    const OF_AWS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    let address: IpAddr = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        Some(Host::Domain(name)) => return name == "localhost",
        None => return false,
    };
    address.is_loopback() || OF_AWS.iter().any(|own| own.parse() == Ok(address))
}
