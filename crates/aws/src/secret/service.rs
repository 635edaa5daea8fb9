//! Secrets Manager and Parameter Store: one request per read, bounded in time and size, with at most one retry.

use super::{AwsSecretsSettings, SecretError};
use crate::client::{
    AwsClient, AwsResponse, NoResponse, SignedRequest, excerpt, host, service_endpoint,
};
use crate::credentials::CurrentCredentials;
use serde::Deserialize;
use serde_json::Value;
use settings::{Secret, SecretReference, SecretStore};
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use url::Url;

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
    fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a> {
        Box::pin(async move {
            match self.read_once(reference).await {
                Err(error) if error.may_pass() => {
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

fn aws_endpoint(reference: &SecretReference, region: &str) -> Option<Url> {
    let service = match reference.store {
        SecretStore::SecretsManager => "secretsmanager",
        SecretStore::ParameterStore => "ssm",
    };
    service_endpoint(service, reference.partition(), region)
}

struct SecretResponse<'a> {
    reference: &'a SecretReference,
    host: &'a str,
    region: &'a str,
    response: AwsResponse,
}

/// `GetSecretValue` and `GetParameter`.
#[derive(Deserialize)]
struct SecretFields {
    #[serde(rename = "SecretString")]
    secret_string: Option<String>,
    #[serde(rename = "SecretBinary")]
    secret_binary: Option<serde::de::IgnoredAny>,
    #[serde(rename = "Parameter")]
    parameter: Option<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "Value")]
    value: Option<String>,
}

fn read_secret(response: &SecretResponse<'_>) -> Result<Secret, SecretError> {
    if response.response.status != 200 {
        return Err(refusal(response));
    }
    let unusable = |problem: &str| SecretError::Unusable {
        secret: response.reference.to_string(),
        problem: problem.to_owned(),
    };
    // The parser's error may quote the secret.
    let found: SecretFields = serde_json::from_slice(&response.response.body).map_err(|_| {
        unusable(&format!("the answer of {} is not in AWS's format", response.host))
    })?;
    let text = match response.reference.store {
        SecretStore::SecretsManager => found.secret_string,
        SecretStore::ParameterStore => found.parameter.and_then(|parameter| parameter.value),
    };
    match text {
        Some(text) => Ok(Secret::new(text)),
        None if found.secret_binary.is_some() => Err(unusable("it is binary; store it as text")),
        None => Err(unusable("it has no value")),
    }
}

fn refusal(response: &SecretResponse<'_>) -> SecretError {
    let SecretResponse { reference, host, region, .. } = *response;
    let (status, refusal) = (response.response.status, response.response.refusal());
    let code = refusal.code.as_str();
    let (secret, text) = (reference.to_string(), excerpt(&refusal.message));
    match code {
        "AccessDeniedException" | "AccessDenied" => {
            let (action, resource) = missing_permission(reference, &refusal.message);
            SecretError::Denied { secret, action, resource, text }
        }
        // The KMS key is unknown here too; the service's message says more.
        "DecryptionFailure" => SecretError::Denied {
            secret,
            action: "kms:Decrypt",
            resource: "the key it is encrypted with".to_owned(),
            text,
        },
        "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" => {
            SecretError::NotFound { secret, region: region.to_owned() }
        }
        _ => {
            let (host, code) = (host.to_owned(), excerpt(code));
            SecretError::Refused { secret, host, status, code, text }
        }
    }
}

/// The resource to allow. A name becomes the pattern of an ARN for a policy.
fn missing_permission(reference: &SecretReference, message: &str) -> (&'static str, String) {
    if message.contains("kms:Decrypt") || message.contains("to KMS") {
        return ("kms:Decrypt", "the key it is encrypted with".to_owned());
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

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:o2-AbCdEf";

    #[track_caller]
    fn check(reference: &str, status: u16, body: &str, expected: Result<&str, &str>) {
        let reference = SecretReference::parse(reference).unwrap();
        let response = SecretResponse {
            reference: &reference,
            host: "host",
            region: "eu-west-1",
            response: AwsResponse { status, body: body.as_bytes().to_vec() },
        };
        let secret = read_secret(&response).map_err(|error| error.to_string());
        assert_eq!(secret.as_ref().map(Secret::expose).map_err(String::as_str), expected);
    }

    #[test]
    fn secret_values_are_extracted_from_responses() {
        check(ARN, 200, r#"{"ARN":"x","SecretString":"a\"b"}"#, Ok("a\"b"));
        check("ssm:/o2", 200, r#"{"Parameter":{"Name":"/o2","Value":"v"}}"#, Ok("v"));
        let unusable = |problem: &str| format!("cannot use {ARN}: {problem}");
        let binary = unusable("it is binary; store it as text");
        check(ARN, 200, r#"{"SecretBinary":"aHVudGVyMg=="}"#, Err(&binary));
        check(ARN, 200, "{}", Err(&unusable("it has no value")));
        let odd = unusable("the answer of host is not in AWS's format");
        check(ARN, 200, "<html>", Err(&odd));
        check(ARN, 200, r#"{"SecretString":["hunter2"]}"#, Err(&odd));
    }

    #[test]
    fn refusals_of_a_secret_are_reported_with_their_remedy() {
        let check = |reference: &str, status, body: &str, expected: &str| {
            let expected = format!("cannot read {reference}: {expected}");
            check(reference, status, body, Err(&expected));
        };
        let user = "User: arn:aws:sts::1:assumed-role/f/f is not authorized";
        let denied = format!(r#"{{"__type":"AccessDeniedException","Message":"{user}"}}"#);
        let allow =
            |action: &str| format!("access denied; allow {action} in the function's role ({user})");
        let action = format!("secretsmanager:GetSecretValue on {ARN}");
        check(ARN, 400, &denied, &allow(&action));
        let action = "ssm:GetParameter on arn:*:ssm:*:*:parameter/o2/auth";
        check("ssm:/o2/auth:3#key", 400, &denied, &allow(action));
        check(
            "ssm:/o2",
            400,
            r#"{"__type":"AccessDeniedException","message":"not authorized to perform: kms:Decrypt"}"#,
            "access denied; allow kms:Decrypt on the key it is encrypted with in the function's role \
             (not authorized to perform: kms:Decrypt)",
        );
        let missing = "not found in eu-west-1; is it in another region or account, or misspelt?";
        let body = r#"{"__type":"com.amazonaws.secretsmanager#ResourceNotFoundException"}"#;
        check(ARN, 400, body, missing);
        check("ssm:/o2", 400, r#"{"__type":"ParameterNotFound"}"#, missing);
        let body = r#"{"__type":"ThrottlingException:http://x","message":"Rate\nexceeded"}"#;
        check("ssm:/o2", 400, body, "host answered 400 ThrottlingException: Rate exceeded");
        check("ssm:/o2", 502, "<html>", "host answered 502");
    }
}
