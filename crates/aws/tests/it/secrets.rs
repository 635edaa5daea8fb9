//! Reads secrets from a fake of AWS's JSON protocols, over real sockets.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{
    AwsSecrets, AwsSecretsSettings, Credentials, CredentialsSource, SecretService,
};
use settings::{Secret, SecretReference};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;
use url::Url;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";

fn settings(url: &Url) -> AwsSecretsSettings {
    AwsSecretsSettings {
        credentials: Some(CredentialsSource::Variables(Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new(SECRET_KEY),
            session_token: Some(Secret::new("session/token==")),
        })),
        region: Some("us-east-1".to_owned()),
        secrets_manager: Some(url.clone()),
        parameter_store: Some(url.clone()),
        proxy: None,
    }
}

async fn read(settings: AwsSecretsSettings, reference: &str) -> Result<String, String> {
    let aws = AwsSecrets::new(settings, || UNIX_EPOCH + Duration::from_secs(1_785_500_000));
    let reference = SecretReference::parse(reference).unwrap();
    let secret = aws.read(&reference).await;
    secret.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
}

fn found() -> ScriptedResponse {
    ScriptedResponse::Is(200, r#"{"SecretString":"hunter2"}"#.to_owned())
}

#[tokio::test]
async fn a_secret_is_requested_in_the_region_of_its_arn() {
    let (fake, url) = Fake::start([found()]).await;
    let secret = read(settings(&url), &format!("{ARN}#key")).await;
    assert_eq!(secret.as_deref(), Ok("hunter2"));
    let (target, region, body) = fake.requests.lock().unwrap()[0].clone();
    assert_eq!((target.as_str(), region.as_str()), ("secretsmanager.GetSecretValue", "eu-west-1"));
    assert_eq!(body, format!(r#"{{"SecretId":"{ARN}"}}"#));
}

#[tokio::test]
async fn a_parameter_is_requested_with_decryption() {
    let answer = ScriptedResponse::Is(200, r#"{"Parameter":{"Value":"hunter2"}}"#.to_owned());
    let (fake, url) = Fake::start([answer]).await;
    assert_eq!(read(settings(&url), "ssm:/o2/auth").await.as_deref(), Ok("hunter2"));
    let (target, region, body) = fake.requests.lock().unwrap()[0].clone();
    assert_eq!((target.as_str(), region.as_str()), ("AmazonSSM.GetParameter", "us-east-1"));
    assert_eq!(body, r#"{"Name":"/o2/auth","WithDecryption":true}"#);
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_once_and_others_are_not() {
    let check = async |answers: &[ScriptedResponse], expected: &str| {
        let (fake, url) = Fake::start(answers.iter().cloned()).await;
        let result = read(settings(&url), ARN).await.unwrap_or_else(|error| error);
        let host = url.authority();
        assert_eq!(result, expected.replace("HOST", host), "{answers:?}");
        assert_eq!(fake.answers.lock().unwrap().len(), 0, "{answers:?}");
    };
    let is = |status, code: &str| ScriptedResponse::Is(status, format!(r#"{{"__type":"{code}"}}"#));
    check(&[is(503, "x"), found()], "hunter2").await;
    check(&[is(400, "ThrottlingException"), found()], "hunter2").await;
    check(&[ScriptedResponse::Closes, found()], "hunter2").await;
    let twice = [is(500, "InternalServiceError"), is(503, "")];
    check(&twice, &format!("cannot read {ARN}: HOST answered 503")).await;
    let expired = [is(400, "ExpiredTokenException")];
    check(&expired, &format!("cannot read {ARN}: HOST answered 400 ExpiredTokenException")).await;
    let missing = [is(400, "ResourceNotFoundException")];
    let text = "not found in eu-west-1; is it in another region or account, or misspelt?";
    check(&missing, &format!("cannot read {ARN}: {text}")).await;
    let large = [ScriptedResponse::Is(200, "x".repeat(600 * 1024))];
    check(&large, &format!("cannot use {ARN}: the answer is larger than a secret can be")).await;
    check(
        &[ScriptedResponse::Is(302, String::new())],
        &format!("cannot read {ARN}: HOST answered 302"),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_secret_service_times_out_within_seconds() {
    let (_fake, url) = Fake::start([ScriptedResponse::Never, ScriptedResponse::Never]).await;
    let start = Instant::now();
    let error = read(settings(&url), ARN).await.unwrap_err();
    assert_eq!(
        error,
        format!(
            "cannot read {ARN}: cannot reach {}: timed out; does the function's VPC have a way to it, such as a VPC endpoint?",
            url.authority()
        )
    );
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
}

#[tokio::test]
async fn missing_credentials_and_region_are_reported() {
    let url = Url::parse("http://127.0.0.1:9/").unwrap();
    let without_credentials = AwsSecretsSettings { credentials: None, ..settings(&url) };
    assert_eq!(
        read(without_credentials, "ssm:/o2").await.unwrap_err(),
        "cannot read ssm:/o2: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set; Lambda sets them from the function's role"
    );
    let without_region = AwsSecretsSettings { region: None, ..settings(&url) };
    assert_eq!(
        read(without_region, "ssm:/o2").await.unwrap_err(),
        "cannot read ssm:/o2: its region is unknown; give its ARN, or set AWS_REGION"
    );
}
