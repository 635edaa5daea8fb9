//! Credentials from an endpoint in the execution environment, over real sockets.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{
    AWS, ApiSettings, Attempts, AwsSecrets, AwsSecretsSettings, Caller, CloudWatchMetrics, SECRETS,
    SecretService,
};
use settings::{Reader, SecretReference, Table};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// 2026-07-31T12:13:20Z.
const BEGAN: u64 = 1_785_500_000;
static SECONDS: AtomicU64 = AtomicU64::new(0);

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(BEGAN + SECONDS.load(Ordering::Relaxed))
}

fn credentials(expiration: &str) -> ScriptedResponse {
    let body = format!(
        r#"{{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"{SECRET_KEY}","Token":"session/token==","Expiration":"{expiration}","AccountId":"123456789012"}}"#
    );
    ScriptedResponse::Is(200, body)
}

fn read<const N: usize>(variables: &[(&str, &str); N]) -> (AwsSecretsSettings, String) {
    let mut reader = Reader::new(variables, Table::new(&[AWS, SECRETS, settings::PROXY]));
    let settings = AwsSecretsSettings::read(&mut reader);
    let mistakes: Vec<String> = reader.finish().iter().map(ToString::to_string).collect();
    (settings, mistakes.join("; "))
}

#[tokio::test]
async fn credentials_are_renewed_early_and_used_until_they_expire() {
    let good = || credentials("2026-07-31T12:43:20Z");
    let later = credentials("2026-07-31T13:43:20Z");
    let is = |status, body: &str| ScriptedResponse::Is(status, body.to_owned());
    let (endpoint, url) = Fake::start([good(), is(500, ""), is(200, "{}"), later]).await;
    let found = || is(200, r#"{"SecretString":"hunter2"}"#);
    let (fake, aws) = Fake::start([found(), found(), found(), found()]).await;
    let (settings, mistakes) = read(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "first"),
        ("AWS_ENDPOINT_URL", aws.as_str()),
        ("AWS_REGION", "eu-west-1"),
        // It is not on the way to this machine.
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    assert_eq!(mistakes, "");
    assert!(!format!("{settings:?}").contains("first"));
    let secrets = AwsSecrets::new(settings, clock);
    let reference = SecretReference::parse("ssm:/o2/auth").unwrap();
    let read = async || secrets.read(&reference).await;
    // The fake answers like Secrets Manager; only the signatures matter here.
    let asked = || fake.requests.lock().unwrap().len();
    let at = |seconds| SECONDS.store(seconds, Ordering::Relaxed);

    let renewed = |times: usize| {
        let requests = std::mem::take(&mut *endpoint.requests.lock().unwrap());
        assert_eq!(requests.len(), times);
        assert!(requests.iter().all(|request| request.target == "first"));
    };
    drop(read().await);
    drop(read().await);
    assert_eq!(asked(), 2);
    renewed(1);

    // Renewal five minutes before the end fails, and the old ones still work.
    at(26 * 60);
    drop(read().await);
    assert_eq!(asked(), 3);
    renewed(1);

    // Expired credentials sign nothing. The second attempt gets new ones.
    at(31 * 60);
    drop(read().await);
    assert_eq!(asked(), 4);
    renewed(2);
}

#[tokio::test]
async fn credential_errors_state_the_cause_without_the_token() {
    let check = async |answer: ScriptedResponse, expected: &str| {
        let (_, url) = Fake::start([answer.clone(), answer]).await;
        let (settings, mistakes) = read(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
            ("AWS_REGION", "eu-west-1"),
        ]);
        assert_eq!(mistakes, "");
        let secrets = AwsSecrets::new(settings, clock);
        let reference = SecretReference::parse("ssm:/o2/auth").unwrap();
        let error = secrets.read(&reference).await.map(|_| ()).unwrap_err().to_string();
        let expected =
            format!("no credentials from AWS_CONTAINER_CREDENTIALS_FULL_URI: {expected}");
        assert!(error.contains(&expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    };
    let is = |status, body: &str| ScriptedResponse::Is(status, body.to_owned());
    check(is(403, "hunter2"), "it answered 403").await;
    check(is(200, "hunter2"), "its answer contains no credentials").await;
    check(is(200, &"x".repeat(70_000)), "the answer of 127.0.0.1").await;
    check(credentials("soon"), "its answer has no readable expiration").await;
}

#[tokio::test]
async fn a_request_waits_for_credentials_no_longer_than_its_deadline() {
    let (_endpoint, url) = Fake::start([ScriptedResponse::Never]).await;
    let (settings, mistakes) = read(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
    ]);
    assert_eq!(mistakes, "");
    let (cloud_watch, endpoint) = Fake::start([]).await;
    let settings = ApiSettings {
        credentials: settings.credentials.unwrap(),
        region: "eu-west-1".to_owned(),
        endpoint,
        proxy: None,
        attempts: Attempts::UntilDeadline,
    };
    let metrics = CloudWatchMetrics::new(settings, Caller::Function, clock);
    let began = Instant::now();
    let deadline = began + Duration::from_millis(200);
    let error = metrics.sums([], clock()..clock(), deadline).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GetMetricData of CloudWatch got no answer: no credentials from AWS_CONTAINER_CREDENTIALS_FULL_URI: timed out"
    );
    // The time limit of the endpoint alone is two seconds.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(cloud_watch.requests.lock().unwrap().is_empty());
}

#[test]
fn plain_http_credential_urls_are_limited_to_this_machine_and_aws_containers() {
    for url in ["http://example.com/", "http://169.254.170.3/", "http://[fd00::1]/"] {
        let (settings, mistakes) = read(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        assert_eq!(settings.credentials, None);
        assert!(mistakes.starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI"), "{mistakes}");
    }
    for url in [
        "https://example.com/",
        "http://localhost:9001/",
        "http://127.0.0.1:9001/v1/credentials",
        "http://[::1]/",
        "http://169.254.170.2/",
        "http://[fd00:ec2::23]/",
    ] {
        let (settings, mistakes) = read(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        assert!(settings.credentials.is_some() && mistakes.is_empty(), "{url}: {mistakes}");
    }
}

#[test]
fn keys_in_variables_take_precedence_over_the_endpoint() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
    let url = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/");
    let (settings, _) = read(&[keys[0], keys[1], url]);
    assert_eq!(settings.credentials, read(&keys).0.credentials);
    assert!(!format!("{settings:?}").contains("hunter2"));
}
