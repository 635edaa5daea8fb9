//! Credentials from an endpoint in the execution environment, over real sockets.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse, serve};
use http_body_util::Full;
use hyper::Response;
use lambda_otlp_aws::{AWS, AwsSecrets, AwsSecretsSettings, SECRETS, SecretService};
use settings::{Reader, SecretReference, Table};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// 2026-07-31T12:13:20Z.
const BEGAN: u64 = 1_785_500_000;
static SECONDS: AtomicU64 = AtomicU64::new(0);

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(BEGAN + SECONDS.load(Ordering::Relaxed))
}

#[derive(Default)]
struct Endpoint {
    answers: Mutex<VecDeque<(u16, String)>>,
    tokens: Mutex<Vec<Option<String>>>,
}

impl Endpoint {
    async fn start(answers: impl IntoIterator<Item = (u16, String)>) -> (Arc<Self>, Url) {
        let answers = Mutex::new(answers.into_iter().collect());
        let endpoint = Arc::new(Self { answers, ..Self::default() });
        let serving = Arc::clone(&endpoint);
        let url = serve(move |request| {
            let token = request.headers().get("authorization");
            let token = token.map(|token| token.to_str().unwrap().to_owned());
            serving.tokens.lock().unwrap().push(token);
            let (status, body) = serving.answers.lock().unwrap().pop_front().unwrap();
            let response = Response::builder().status(status).body(Full::from(body));
            std::future::ready(Ok(response.unwrap()))
        });
        let url = url.await.join("v1/credentials").unwrap();
        (endpoint, url)
    }

    fn tokens(&self) -> Vec<Option<String>> {
        std::mem::take(&mut self.tokens.lock().unwrap())
    }
}

fn credentials(expiration: &str) -> (u16, String) {
    let body = format!(
        r#"{{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"{SECRET_KEY}","Token":"session/token==","Expiration":"{expiration}","AccountId":"123456789012"}}"#
    );
    (200, body)
}

fn read(variables: &[(&str, &str)]) -> (AwsSecretsSettings, String) {
    let source: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut reader = Reader::new(&source, Table::new(&[AWS, SECRETS, settings::PROXY]));
    let settings = AwsSecretsSettings::read(&mut reader);
    let mistakes: Vec<String> = reader.finish().iter().map(ToString::to_string).collect();
    (settings, mistakes.join("; "))
}

#[tokio::test]
async fn credentials_are_renewed_early_and_used_until_they_expire() {
    let good = || credentials("2026-07-31T12:43:20Z");
    let later = credentials("2026-07-31T13:43:20Z");
    let (endpoint, url) =
        Endpoint::start([good(), (500, String::new()), (200, "{}".to_owned()), later]).await;
    let found = || ScriptedResponse::Is(200, r#"{"SecretString":"hunter2"}"#.to_owned());
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
    let read = async || {
        let secret = secrets.read(&reference).await;
        secret.map(|_| ()).map_err(|error| error.to_string())
    };
    // The fake answers like Secrets Manager; only the signatures matter here.
    let asked = || fake.requests.lock().unwrap().len();
    let at = |seconds| SECONDS.store(seconds, Ordering::Relaxed);

    let token = Some("first".to_owned());
    drop(read().await);
    drop(read().await);
    assert_eq!((asked(), endpoint.tokens()), (2, vec![token.clone()]), "asked once for two");

    // Renewal five minutes before the end fails, and the old ones still work.
    at(26 * 60);
    drop(read().await);
    assert_eq!((asked(), endpoint.tokens()), (3, vec![token.clone()]));

    // Expired credentials sign nothing. The second attempt gets new ones.
    at(31 * 60);
    drop(read().await);
    assert_eq!((asked(), endpoint.tokens()), (4, vec![token.clone(), token]));
}

#[tokio::test]
async fn credential_errors_state_the_cause_without_the_token() {
    let check = async |answer: (u16, String), expected: &str| {
        let (_endpoint, url) = Endpoint::start([answer.clone(), answer]).await;
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
    check((403, "hunter2".to_owned()), "it answered 403").await;
    check((200, "hunter2".to_owned()), "its answer contains no credentials").await;
    check((200, "x".repeat(70_000)), "the answer of 127.0.0.1").await;
    check(credentials("soon"), "its answer has no readable expiration").await;
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
    assert_eq!(read(&[keys[0], keys[1], url]).0.credentials, read(&keys).0.credentials);
}
