//! Secrets Manager and Parameter Store: one request per read, bounded in time and size, with at most one retry.

use super::error::SecretError;
use super::response::{SecretResponse, read_secret};
use super::settings::AwsSecretsSettings;
use crate::client::{AwsClient, NoResponse, SignedRequest, host, service_endpoint};
use crate::credentials::CurrentCredentials;
use serde_json::Value;
use settings::{Secret, SecretReference, SecretStore};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use url::Url;

/// Time limit of one attempt. A service in the same region responds within 100 ms.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Delay before the only retry.
const PAUSE: Duration = Duration::from_millis(200);

/// A secret has at most 64 KiB, up to six times as many in JSON.
const MAX_RESPONSE_BYTES: usize = 512 * 1024;

pub trait SecretService: Send + Sync {
    /// Returns the whole stored secret; the reference's key is not applied.
    fn read(
        &self,
        reference: &SecretReference,
    ) -> impl Future<Output = Result<Secret, SecretError>> + Send;

    fn wall_clock(&self) -> SystemTime;
}

impl<S: SecretService> SecretService for Arc<S> {
    async fn read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        S::read(self, reference).await
    }

    fn wall_clock(&self) -> SystemTime {
        S::wall_clock(self)
    }
}

/// Secrets Manager and Systems Manager Parameter Store.
///
/// Nothing is prepared before the first read, because most environments need no secret.
#[derive(Debug)]
pub struct AwsSecrets {
    settings: AwsSecretsSettings,
    credentials: Option<CurrentCredentials>,
    client: AwsClient,
}

impl AwsSecrets {
    /// Creates a client with reqwest; `clock` gives the signing time.
    #[cfg(feature = "reqwest")]
    pub fn new(settings: AwsSecretsSettings, clock: fn() -> SystemTime) -> Self {
        let client = AwsClient::new(clock, settings.proxy.clone());
        Self::by(client, settings)
    }

    pub fn by(client: AwsClient, settings: AwsSecretsSettings) -> Self {
        let credentials = settings.credentials.clone().map(CurrentCredentials::of);
        Self { settings, credentials, client }
    }

    async fn read_once(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let secret = || reference.to_string();
        let credentials = self.credentials.as_ref();
        let credentials =
            credentials.ok_or_else(|| SecretError::NoCredentials { secret: secret() })?;
        let credentials = credentials.current(&self.client).await;
        let credentials = credentials.map_err(|error| SecretError::NoResponse {
            secret: secret(),
            text: error.to_string(),
        })?;
        let region = reference.region().or(self.settings.region.as_deref());
        let region = region.ok_or_else(|| SecretError::NoRegion { secret: secret() })?;
        let endpoint = match self.settings.endpoint(reference.store) {
            Some(endpoint) => endpoint.clone(),
            None => aws_endpoint(reference, region).ok_or_else(|| SecretError::Unusable {
                secret: secret(),
                problem: format!("{region:?} is not a region"),
            })?,
        };
        let id = Value::from(reference.id.as_str());
        let (service, target, body) = match reference.store {
            SecretStore::SecretsManager => (
                "secretsmanager",
                "secretsmanager.GetSecretValue",
                format!(r#"{{"SecretId":{id}}}"#),
            ),
            SecretStore::ParameterStore => (
                "ssm",
                "AmazonSSM.GetParameter",
                format!(r#"{{"Name":{id},"WithDecryption":true}}"#),
            ),
        };
        let request = SignedRequest {
            credentials: &credentials,
            service,
            region,
            endpoint: &endpoint,
            content_type: "application/x-amz-json-1.1",
            target,
            body: body.into_bytes(),
            deadline: Instant::now() + TIMEOUT,
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let response = self.client.send(request).await.map_err(|error| match error {
            NoResponse::NotMade(problem) => {
                SecretError::Unusable { secret: secret(), problem: problem.to_owned() }
            }
            NoResponse::TooLong { .. } => SecretError::Unusable {
                secret: secret(),
                problem: "the answer is larger than a secret can be".to_owned(),
            },
            error => SecretError::NoResponse { secret: secret(), text: error.to_string() },
        })?;
        read_secret(&SecretResponse { reference, host: &host(&endpoint), region, response })
    }
}

impl SecretService for AwsSecrets {
    async fn read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        match self.read_once(reference).await {
            Err(error) if error.may_pass() => {
                tokio::time::sleep(PAUSE).await;
                self.read_once(reference).await
            }
            result => result,
        }
    }

    fn wall_clock(&self) -> SystemTime {
        self.client.wall_clock()
    }
}

fn aws_endpoint(reference: &SecretReference, region: &str) -> Option<Url> {
    let service = match reference.store {
        SecretStore::SecretsManager => "secretsmanager",
        SecretStore::ParameterStore => "ssm",
    };
    service_endpoint(service, reference.partition(), region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_use_the_domain_of_their_partition() {
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
