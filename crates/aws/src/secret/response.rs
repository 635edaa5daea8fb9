//! The response of Secrets Manager or Parameter Store: a secret, or an error with its remedy.

use super::error::SecretError;
use crate::client::{AwsResponse, excerpt};
use serde::Deserialize;
use settings::{Secret, SecretReference, SecretStore};

pub(super) struct SecretResponse<'a> {
    pub(super) reference: &'a SecretReference,
    pub(super) host: &'a str,
    pub(super) region: &'a str,
    pub(super) response: AwsResponse,
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

pub(super) fn read_secret(response: &SecretResponse<'_>) -> Result<Secret, SecretError> {
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
        check(
            ARN,
            200,
            r#"{"SecretBinary":"aHVudGVyMg=="}"#,
            Err(&unusable("it is binary; store it as text")),
        );
        check(ARN, 200, "{}", Err(&unusable("it has no value")));
        let odd = unusable("the answer of host is not in AWS's format");
        check(ARN, 200, "<html>", Err(&odd));
        check(ARN, 200, r#"{"SecretString":["hunter2"]}"#, Err(&odd));
    }

    #[test]
    fn refusals_of_a_secret_are_reported_with_their_remedy() {
        let denied = r#"{"__type":"AccessDeniedException","Message":"User: arn:aws:sts::1:assumed-role/f/f is not authorized"}"#;
        check(
            ARN,
            400,
            denied,
            Err(&format!(
                "cannot read {ARN}: access denied; allow secretsmanager:GetSecretValue on {ARN} in the function's role \
             (User: arn:aws:sts::1:assumed-role/f/f is not authorized)"
            )),
        );
        check(
            "ssm:/o2/auth:3#key",
            400,
            denied,
            Err(
                "cannot read ssm:/o2/auth:3#key: access denied; allow ssm:GetParameter on arn:*:ssm:*:*:parameter/o2/auth in the \
             function's role (User: arn:aws:sts::1:assumed-role/f/f is not authorized)",
            ),
        );
        check(
            "ssm:/o2",
            400,
            r#"{"__type":"AccessDeniedException","message":"not authorized to perform: kms:Decrypt"}"#,
            Err(
                "cannot read ssm:/o2: access denied; allow kms:Decrypt on the key it is encrypted with in the function's role \
             (not authorized to perform: kms:Decrypt)",
            ),
        );
        let missing = "not found in eu-west-1; is it in another region or account, or misspelt?";
        check(
            ARN,
            400,
            r#"{"__type":"com.amazonaws.secretsmanager#ResourceNotFoundException"}"#,
            Err(&format!("cannot read {ARN}: {missing}")),
        );
        check(
            "ssm:/o2",
            400,
            r#"{"__type":"ParameterNotFound"}"#,
            Err(&format!("cannot read ssm:/o2: {missing}")),
        );
        check(
            "ssm:/o2",
            400,
            r#"{"__type":"ThrottlingException:http://x","message":"Rate\nexceeded"}"#,
            Err("cannot read ssm:/o2: host answered 400 ThrottlingException: Rate exceeded"),
        );
        check("ssm:/o2", 502, "<html>", Err("cannot read ssm:/o2: host answered 502"));
    }
}
