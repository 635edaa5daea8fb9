//! Secrets Manager and Parameter Store: one request per read, bounded in time and size, with at most one retry.

use super::{AwsSecretsSettings, SecretError};
use crate::client::{
    AwsClient, AwsResponse, NoResponse, Refusal, SignedRequest, excerpt, host, service_endpoint,
};
use crate::credentials::CurrentCredentials;
use serde_json::Value;
use settings::{Secret, SecretReference, SecretStore};
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Time limit of one attempt. A service in the same region responds within 100 ms.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Delay before the only retry.
const PAUSE: Duration = Duration::from_millis(200);

/// A secret has at most 64 KiB, up to six times as many in JSON.
const MAX_RESPONSE_BYTES: usize = 512 * 1024;

/// Stores secrets.
pub trait SecretService: Send + Sync {
    /// Returns the whole stored secret; the reference's key is not applied.
    fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a>;

    fn wall_clock(&self) -> SystemTime;
}

/// The reading of a secret.
pub type SecretReading<'a> = Pin<Box<dyn Future<Output = Result<Secret, SecretError>> + Send + 'a>>;

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
    pub fn new(settings: AwsSecretsSettings, clock: fn() -> SystemTime) -> Self {
        let client = AwsClient::new(clock, settings.proxy.clone());
        let credentials = settings.credentials.clone().map(CurrentCredentials::of);
        Self { settings, credentials, client }
    }

    async fn read_once(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let refused = |text| SecretError::refused(reference, text);
        let credentials = self.credentials.as_ref().ok_or_else(|| refused(NO_CREDENTIALS))?;
        let region = reference.region().or(self.settings.region.as_deref());
        let region = region
            .ok_or_else(|| refused("its region is unknown; give its ARN, or set AWS_REGION"))?;
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
        let endpoint = self.settings.endpoint(reference.store).cloned();
        let endpoint = endpoint.or_else(|| service_endpoint(service, region));
        let endpoint = endpoint.ok_or_else(|| {
            SecretError::unusable(reference, &format!("{region:?} is not a region"))
        })?;
        let request = SignedRequest {
            credentials,
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
            NoResponse::NotMade(_) | NoResponse::TooLong(_) => {
                SecretError::unusable(reference, &error.to_string())
            }
            error => SecretError::unavailable(reference, &error.to_string()),
        })?;
        if response.status != 200 {
            return Err(refusal(reference, &host(&endpoint), region, &response));
        }
        secret_text(reference.store, &response.body)
            .map_err(|problem| SecretError::unusable(reference, problem))
    }
}

const NO_CREDENTIALS: &str = "neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set; Lambda sets them from the function's role";

impl SecretService for AwsSecrets {
    fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a> {
        Box::pin(async move {
            match self.read_once(reference).await {
                Err(SecretError { is_temporary: true, .. }) => {
                    tokio::time::sleep(PAUSE).await;
                    self.read_once(reference).await
                }
                result => result,
            }
        })
    }

    fn wall_clock(&self) -> SystemTime {
        self.client.wall_clock()
    }
}

/// Returns the secret in a response. The error never has a part of it, as the parser's would.
fn secret_text(store: SecretStore, body: &[u8]) -> Result<Secret, &'static str> {
    const UNKNOWN: &str = "the answer is not in AWS's format";
    let answer: Value = serde_json::from_slice(body).map_err(|_| UNKNOWN)?;
    let text = match store {
        SecretStore::SecretsManager => answer.pointer("/SecretString"),
        SecretStore::ParameterStore => answer.pointer("/Parameter/Value"),
    };
    match text.unwrap_or_default() {
        Value::String(text) => Ok(Secret::new(text)),
        Value::Null if answer.get("SecretBinary").is_some() => {
            Err("it is binary; store it as text")
        }
        Value::Null => Err("it has no value"),
        _ => Err(UNKNOWN),
    }
}

fn refusal(
    reference: &SecretReference,
    host: &str,
    region: &str,
    response: &AwsResponse,
) -> SecretError {
    let (status, Refusal { code, message, is_throttled }) = (response.status, response.refusal());
    let message = excerpt(&message);
    let denied = |(action, resource): (&str, String)| {
        format!("access denied; allow {action} on {resource} in the function's role ({message})")
    };
    let text = match code.as_str() {
        "AccessDeniedException" | "AccessDenied" => denied(missing_permission(reference, &message)),
        // The KMS key is unknown here too; the service's message says more.
        "DecryptionFailure" => denied(decryption()),
        "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" => {
            format!("not found in {region}; is it in another region or account, or misspelt?")
        }
        // A proxy's answer has neither code nor text.
        _ => {
            let separator = if message.is_empty() { "" } else { ": " };
            let text = format!("{host} answered {status} {}{separator}{message}", excerpt(&code));
            text.trim_end().to_owned()
        }
    };
    if status >= 500 || is_throttled {
        SecretError::unavailable(reference, &text)
    } else {
        SecretError::refused(reference, &text)
    }
}

fn decryption() -> (&'static str, String) {
    ("kms:Decrypt", "the key it is encrypted with".to_owned())
}

/// The resource to allow. A name becomes the pattern of an ARN for a policy.
fn missing_permission(reference: &SecretReference, message: &str) -> (&'static str, String) {
    if message.contains("kms:Decrypt") || message.contains("to KMS") {
        return decryption();
    }
    let action = match reference.store {
        SecretStore::SecretsManager => "secretsmanager:GetSecretValue",
        SecretStore::ParameterStore => "ssm:GetParameter",
    };
    let resource = if reference.id.starts_with("arn:") {
        reference.id.clone()
    } else {
        let name = reference.id.split(':').next().unwrap_or_default();
        format!("arn:*:ssm:*:*:parameter/{}", name.trim_start_matches('/'))
    };
    (action, resource)
}
