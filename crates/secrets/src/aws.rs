//! One signed request to Secrets Manager or the parameter store: bounded in time and size, at most one repetition.

use crate::aws_answer::{Answered, read_answer};
use crate::{AwsSettings, Credentials, SecretError};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use settings::{Secret, SecretReference, SecretStore};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use url::Url;

/// A service of the same region answers within 100 ms.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Before the one repetition.
const WAIT: Duration = Duration::from_millis(200);

/// A secret has at most 64 KiB, which as JSON may become six times as many.
const MOST_ANSWER_BYTES: usize = 512 * 1024;

/// Where secrets are kept.
pub trait SecretService: Send + Sync {
    /// The secret as it is kept, all of it: the reference's key is not looked at.
    fn read(
        &self,
        reference: &SecretReference,
    ) -> impl Future<Output = Result<Secret, SecretError>> + Send;
}

impl<S: SecretService> SecretService for Arc<S> {
    async fn read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        S::read(self, reference).await
    }
}

/// Secrets Manager and the parameter store of Systems Manager.
///
/// Nothing is prepared before the first read: most environments need no secret, or find it fresh.
#[derive(Debug)]
pub struct Aws {
    settings: AwsSettings,
    clock: fn() -> SystemTime,
    client: OnceCell<reqwest::Client>,
}

impl Aws {
    /// Asks as these settings say; `clock` gives the time that requests are signed with.
    pub fn new(settings: AwsSettings, clock: fn() -> SystemTime) -> Self {
        Self { settings, clock, client: OnceCell::new() }
    }

    async fn client(&self, endpoint: &Url) -> Result<&reqwest::Client, reqwest::Error> {
        let prepare = async || {
            // Fails where another part of the process has installed a provider, which serves as well.
            drop(rustls::crypto::ring::default_provider().install_default());
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT)
                // Minutes lie between two reads, and maybe a freeze.
                .pool_max_idle_per_host(0);
            // A test's endpoint has no TLS, and maybe the system no certificates.
            let is_plain = endpoint.scheme() == "http";
            if is_plain { builder.tls_certs_only([]) } else { builder }.build()
        };
        self.client.get_or_try_init(prepare).await
    }

    async fn read_once(&self, call: &Call<'_>) -> Result<Secret, SecretError> {
        let no_answer = |error: &reqwest::Error| SecretError::NoAnswer {
            secret: call.reference.to_string(),
            text: format!("cannot reach {}: {}", call.host, cause(error)),
        };
        let client = self.client(&call.endpoint).await.map_err(|error| no_answer(&error))?;
        let request = call.signed((self.clock)(), client)?;
        let mut response =
            client.execute(request).await.map_err(|error| no_answer(&error.without_url()))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| no_answer(&error.without_url()))?
        {
            if body.len() + chunk.len() > MOST_ANSWER_BYTES {
                return Err(call.unusable("the answer is larger than a secret can be"));
            }
            body.extend_from_slice(&chunk);
        }
        read_answer(&Answered {
            reference: call.reference,
            host: &call.host,
            region: &call.region,
            status,
            body: &body,
        })
    }
}

impl SecretService for Aws {
    async fn read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let call = Call::new(&self.settings, reference)?;
        match self.read_once(&call).await {
            Err(error) if error.may_pass() => {
                tokio::time::sleep(WAIT).await;
                self.read_once(&call).await
            }
            result => result,
        }
    }
}

/// Everything about a request but its time.
struct Call<'a> {
    reference: &'a SecretReference,
    credentials: &'a Credentials,
    region: String,
    endpoint: Url,
    /// With the port, where it is not the usual one.
    host: String,
    body: String,
}

impl<'a> Call<'a> {
    fn new(settings: &'a AwsSettings, reference: &'a SecretReference) -> Result<Self, SecretError> {
        let secret = || reference.to_string();
        let credentials = settings.credentials.as_ref();
        let credentials =
            credentials.ok_or_else(|| SecretError::NoCredentials { secret: secret() })?;
        let region = reference.region().or(settings.region.as_deref());
        let region = region.ok_or_else(|| SecretError::NoRegion { secret: secret() })?;
        let endpoint = match settings.endpoint(reference.store) {
            Some(endpoint) => endpoint.clone(),
            None => aws_endpoint(reference, region).ok_or_else(|| SecretError::Unusable {
                secret: secret(),
                problem: format!("{region:?} is no region"),
            })?,
        };
        let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = endpoint.host_str().unwrap_or_default().to_owned() + &port;
        let body = match reference.store {
            SecretStore::SecretsManager => serde_json::json!({ "SecretId": reference.id }),
            SecretStore::ParameterStore => {
                serde_json::json!({ "Name": reference.id, "WithDecryption": true })
            }
        };
        let (region, body) = (region.to_owned(), body.to_string());
        Ok(Self { reference, credentials, region, endpoint, host, body })
    }

    /// Signature Version 4 over all headers but the length.
    fn signed(
        &self,
        time: SystemTime,
        client: &reqwest::Client,
    ) -> Result<reqwest::Request, SecretError> {
        let (service, target) = match self.reference.store {
            SecretStore::SecretsManager => ("secretsmanager", "secretsmanager.GetSecretValue"),
            SecretStore::ParameterStore => ("ssm", "AmazonSSM.GetParameter"),
        };
        let Credentials { access_key_id, secret_access_key, session_token } = self.credentials;
        let mut credentials = aws_credential_types::Credentials::builder()
            .access_key_id(access_key_id)
            .secret_access_key(secret_access_key.expose())
            .provider_name("environment");
        credentials
            .set_session_token(session_token.as_ref().map(|token| token.expose().to_owned()));
        let identity = credentials.build().into();
        let headers = [
            ("host", self.host.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
        ];
        let invalid = |_| self.unusable("the request cannot be signed");
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| self.unusable("the request cannot be signed"))?
            .into();
        let body = SignableBody::Bytes(self.body.as_bytes());
        let signable =
            SignableRequest::new("POST", self.endpoint.as_str(), headers.into_iter(), body)
                .map_err(invalid)?;
        let (instructions, _signature) = sign(signable, &params).map_err(invalid)?.into_parts();
        let mut builder = client.post(self.endpoint.clone()).body(self.body.clone());
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            builder = builder.header(name, value);
        }
        builder
            .build()
            .map_err(|_| self.unusable("the credentials hold characters that a header cannot"))
    }

    fn unusable(&self, problem: &str) -> SecretError {
        SecretError::Unusable { secret: self.reference.to_string(), problem: problem.to_owned() }
    }
}

/// `https://secretsmanager.eu-west-1.amazonaws.com/`, of each partition (AWS General Reference, "Service endpoints").
fn aws_endpoint(reference: &SecretReference, region: &str) -> Option<Url> {
    let is_region = !region.is_empty()
        && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_in = |partition: &str, prefix: &str| {
        reference.partition().map_or(region.starts_with(prefix), |named| named == partition)
    };
    let domains = [
        ("aws-cn", "cn-", "amazonaws.com.cn"),
        ("aws-iso", "us-iso-", "c2s.ic.gov"),
        ("aws-iso-b", "us-isob-", "sc2s.sgov.gov"),
        ("aws-eusc", "eusc-", "amazonaws.eu"),
    ];
    let domain = domains
        .iter()
        .find(|(partition, prefix, _)| is_in(partition, prefix))
        .map_or("amazonaws.com", |(_, _, domain)| domain);
    let service = match reference.store {
        SecretStore::SecretsManager => "secretsmanager",
        SecretStore::ParameterStore => "ssm",
    };
    let url = format!("https://{service}.{region}.{domain}/");
    is_region.then(|| Url::parse(&url).ok()).flatten()
}

/// The first cause: the errors around it say only that a request failed.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out; does the function's VPC have a way to it, such as a VPC endpoint?"
            .to_owned();
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_domain() {
        let check = |reference: &str, region: &str, expected: Option<&str>| {
            let reference = SecretReference::parse(reference).unwrap();
            let region = reference.region().unwrap_or(region);
            let url = aws_endpoint(&reference, region);
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{reference} {region}");
        };
        let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:o2";
        check(arn, "us-east-1", Some("https://secretsmanager.eu-west-1.amazonaws.com/"));
        check("ssm:/o2", "us-east-1", Some("https://ssm.us-east-1.amazonaws.com/"));
        check("ssm:/o2", "cn-north-1", Some("https://ssm.cn-north-1.amazonaws.com.cn/"));
        check("ssm:/o2", "us-iso-east-1", Some("https://ssm.us-iso-east-1.c2s.ic.gov/"));
        check("ssm:/o2", "us-isob-east-1", Some("https://ssm.us-isob-east-1.sc2s.sgov.gov/"));
        check("ssm:/o2", "eusc-de-east-1", Some("https://ssm.eusc-de-east-1.amazonaws.eu/"));
        let arn = "arn:aws-cn:secretsmanager:cn-north-1:1:secret:o2";
        check(arn, "", Some("https://secretsmanager.cn-north-1.amazonaws.com.cn/"));
        let arn = "arn:aws-us-gov:ssm:us-gov-west-1:1:parameter/o2";
        check(arn, "", Some("https://ssm.us-gov-west-1.amazonaws.com/"));
        check("ssm:/o2", "evil.example.com/", None);
        check("ssm:/o2", "", None);
    }
}
