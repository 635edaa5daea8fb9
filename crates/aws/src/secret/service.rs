//! Secrets Manager and Parameter Store: one request per read, bounded in time and size, with at most one retry.

use super::{AwsSecretsSettings, SecretError};
use crate::client::{
    AwsClient, AwsResponse, EndpointOptions, JsonRequest, NoResponse, excerpt, host,
    service_endpoint,
};
use crate::credentials::CredentialsProvider;
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
    credentials: Option<CredentialsProvider>,
    client: AwsClient,
}

impl AwsSecrets {
    /// Creates a client with reqwest; `clock` gives the signing time.
    pub fn new(settings: AwsSecretsSettings, clock: fn() -> SystemTime) -> Self {
        let client = AwsClient::new(clock, settings.proxy.clone());
        let credentials = settings.credentials.clone().map(CredentialsProvider::of);
        Self { settings, credentials, client }
    }

    async fn read_once(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let refused = |text| SecretError::refused(reference, text);
        let credentials = self.credentials.as_ref().ok_or_else(|| refused(NO_CREDENTIALS))?;
        let region = reference
            .region()
            .or(self.settings.region.as_deref())
            .ok_or_else(|| refused("its region is unknown; give its ARN, or set AWS_REGION"))?;
        let operation = ReadOperation::of(reference);
        let endpoint = self
            .settings
            .endpoint(reference.store)
            .cloned()
            .or_else(|| service_endpoint(operation.service, region, EndpointOptions::default()))
            .ok_or_else(|| {
                SecretError::unusable(reference, &format!("{region:?} is not a region"))
            })?;
        let request = JsonRequest {
            credentials,
            service: operation.service,
            region,
            endpoint: &endpoint,
            content_type: "application/x-amz-json-1.1",
            target: operation.target,
            body: operation.body.into_bytes(),
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
            .map_err(|problem| SecretError::unusable(reference, &problem.to_string()))
    }
}

/// The operation that reads a secret.
struct ReadOperation {
    service: &'static str,
    target: &'static str,
    body: String,
}

impl ReadOperation {
    fn of(reference: &SecretReference) -> Self {
        let id = Value::from(reference.id.as_str());
        match reference.store {
            SecretStore::SecretsManager => Self {
                service: "secretsmanager",
                target: "secretsmanager.GetSecretValue",
                body: format!(r#"{{"SecretId":{id}}}"#),
            },
            SecretStore::ParameterStore => Self {
                service: "ssm",
                target: "AmazonSSM.GetParameter",
                body: format!(r#"{{"Name":{id},"WithDecryption":true}}"#),
            },
        }
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

/// The reason why a response has no secret. Has no part of the response, as the parser's error would.
#[derive(Debug, thiserror::Error)]
enum NoSecret {
    #[error("the answer is not in AWS's format")]
    UnknownFormat,
    #[error("it is binary; store it as text")]
    Binary,
    #[error("it has no value")]
    Empty,
}

/// Returns the secret in a response.
fn secret_text(store: SecretStore, body: &[u8]) -> Result<Secret, NoSecret> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| NoSecret::UnknownFormat)?;
    let text = match store {
        SecretStore::SecretsManager => answer.pointer("/SecretString"),
        SecretStore::ParameterStore => answer.pointer("/Parameter/Value"),
    };
    match text.unwrap_or_default() {
        Value::String(text) => Ok(Secret::new(text)),
        Value::Null if answer.get("SecretBinary").is_some() => Err(NoSecret::Binary),
        Value::Null => Err(NoSecret::Empty),
        _ => Err(NoSecret::UnknownFormat),
    }
}

fn refusal(
    reference: &SecretReference,
    host: &str,
    region: &str,
    response: &AwsResponse,
) -> SecretError {
    let status = response.status;
    let refusal = response.refusal();
    let code = refusal.code;
    let message = excerpt(&refusal.message);
    let denied = |Permission { action, resource }: Permission| {
        format!("access denied; allow {action} on {resource} for this role or user ({message})")
    };
    let text = match code.as_str() {
        "AccessDeniedException" | "AccessDenied" => denied(missing_permission(reference, &message)),
        // The KMS key is unknown here too; the service's message says more.
        "DecryptionFailure" => denied(Permission::decryption()),
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
    if status >= 500 || refusal.is_throttled {
        SecretError::unavailable(reference, &text)
    } else {
        SecretError::refused(reference, &text)
    }
}

/// A permission that the reader of the secret lacks: a function's role, or the user of the command line.
struct Permission {
    action: &'static str,
    resource: String,
}

impl Permission {
    fn decryption() -> Self {
        Self { action: "kms:Decrypt", resource: "the key it is encrypted with".to_owned() }
    }
}

/// The permission to read the secret. A name becomes the pattern of an ARN for a policy.
fn missing_permission(reference: &SecretReference, message: &str) -> Permission {
    if message.contains("kms:Decrypt") || message.contains("to KMS") {
        return Permission::decryption();
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
    Permission { action, resource }
}
