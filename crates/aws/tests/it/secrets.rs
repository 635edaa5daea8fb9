//! Reads secrets from a fake of AWS's JSON protocols, over real sockets.

use crate::fake::{Fake, FakeRequest, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{
    AwsSecrets, AwsSecretsSettings, Credentials, CredentialsSource, SecretError, SecretService,
};
use settings::{Proxy, Secret, SecretReference};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
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

async fn read(settings: AwsSecretsSettings, reference: &str) -> Result<String, SecretError> {
    let aws = AwsSecrets::new(settings, || UNIX_EPOCH + Duration::from_secs(1_785_500_000));
    let parsed = SecretReference::parse(reference).unwrap();
    let secret = aws.read(&parsed).await?;
    Ok(secret.expose().to_owned())
}

fn found() -> ScriptedResponse {
    ScriptedResponse::Is(200, r#"{"SecretString":"hunter2"}"#.to_owned())
}

struct Requested {
    reference: String,
    answer: &'static str,
    target: &'static str,
    region: &'static str,
    body: String,
}

#[tokio::test]
async fn a_secret_is_requested_in_the_region_of_its_arn_and_a_parameter_with_decryption() {
    let parameter = r#"{"Parameter":{"Name":"/o2/auth","Value":"hunter2"}}"#;
    for Requested { reference, answer, target, region, body } in [
        Requested {
            reference: format!("{ARN}#key"),
            answer: r#"{"ARN":"x","SecretString":"hunter2"}"#,
            target: "secretsmanager.GetSecretValue",
            region: "eu-west-1",
            body: format!(r#"{{"SecretId":"{ARN}"}}"#),
        },
        Requested {
            reference: "ssm:/o2/auth".to_owned(),
            answer: parameter,
            target: "AmazonSSM.GetParameter",
            region: "us-east-1",
            body: r#"{"Name":"/o2/auth","WithDecryption":true}"#.to_owned(),
        },
    ] {
        let (fake, url) = Fake::start([ScriptedResponse::Is(200, answer.to_owned())]).await;
        assert_eq!(read(settings(&url), &reference).await.unwrap(), "hunter2");
        let expected = FakeRequest { target: target.to_owned(), region: region.to_owned(), body };
        assert_eq!(*fake.requests.lock().unwrap(), [expected]);
    }
}

struct FailedRead<'a> {
    reference: &'static str,
    status: u16,
    body: &'a str,
    /// The error after `cannot `, with `THIS` for the reference and `HOST` for the host.
    expected: &'a str,
}

#[tokio::test(start_paused = true)]
async fn temporary_failures_are_retried_once_and_errors_state_the_remedy() {
    let check = async |reference: &str, answers: &[ScriptedResponse], expected: &str| {
        let (fake, url) = Fake::start(answers.iter().cloned()).await;
        let result =
            read(settings(&url), reference).await.unwrap_or_else(|error| error.to_string());
        let expected = expected.replace("HOST", url.authority()).replace("THIS", reference);
        assert_eq!(result, expected, "{answers:?}");
        assert_eq!(fake.answers.lock().unwrap().len(), 0, "{answers:?}");
    };
    let is = |status, body: &str| ScriptedResponse::Is(status, body.to_owned());
    let code = |status, code: &str| is(status, &format!(r#"{{"__type":"{code}"}}"#));
    check(ARN, &[code(503, "x"), found()], "hunter2").await;
    check(ARN, &[code(400, "ThrottlingException"), found()], "hunter2").await;
    check(ARN, &[ScriptedResponse::Closes, found()], "hunter2").await;
    let twice = [code(500, "InternalServiceError"), code(503, "")];
    check(ARN, &twice, "cannot read THIS: HOST answered 503").await;
    let slow = r#"{"__type":"ThrottlingException:http://x","message":"Rate\nexceeded"}"#;
    let text = "cannot read THIS: HOST answered 400 ThrottlingException: Rate exceeded";
    check(ARN, &[is(400, slow), is(400, slow)], text).await;

    let user = "User: arn:aws:sts::1:assumed-role/f/f is not authorized";
    let denied = format!(r#"{{"__type":"AccessDeniedException","Message":"{user}"}}"#);
    let no_key = r#"{"__type":"AccessDeniedException","message":"may not kms:Decrypt"}"#;
    let gone = r#"{"__type":null,"code":"com.amazonaws.secretsmanager#ResourceNotFoundException"}"#;
    let large = "x".repeat(600 * 1024);
    let allow = |permission: &str, message: &str| {
        format!("read THIS: access denied; allow {permission} for this role or user ({message})")
    };
    let parameter = allow("ssm:GetParameter on arn:*:ssm:*:*:parameter/o2/auth", user);
    let not_found =
        "read THIS: not found in eu-west-1; is it in another region or account, or misspelt?";
    let expired = r#"{"__type":"ExpiredTokenException"}"#;
    let unknown = "use THIS: the answer is not in AWS's format";
    for FailedRead { reference, status, body, expected } in [
        FailedRead {
            reference: ARN,
            status: 400,
            body: &denied,
            expected: &allow("secretsmanager:GetSecretValue on THIS", user),
        },
        FailedRead {
            reference: "ssm:/o2/auth:3#key",
            status: 400,
            body: &denied,
            expected: &parameter,
        },
        FailedRead {
            reference: "ssm:/o2",
            status: 400,
            body: no_key,
            expected: &allow("kms:Decrypt on the key it is encrypted with", "may not kms:Decrypt"),
        },
        FailedRead { reference: ARN, status: 400, body: gone, expected: not_found },
        FailedRead {
            reference: ARN,
            status: 400,
            body: expired,
            expected: "read THIS: HOST answered 400 ExpiredTokenException",
        },
        FailedRead {
            reference: ARN,
            status: 302,
            body: "",
            expected: "read THIS: HOST answered 302",
        },
        FailedRead {
            reference: ARN,
            status: 200,
            body: &large,
            expected: "use THIS: the answer of HOST is longer than 524288 bytes",
        },
        FailedRead {
            reference: ARN,
            status: 200,
            body: r#"{"SecretBinary":"aHVudGVyMg=="}"#,
            expected: "use THIS: it is binary; store it as text",
        },
        FailedRead {
            reference: ARN,
            status: 200,
            body: "{}",
            expected: "use THIS: it has no value",
        },
        FailedRead { reference: ARN, status: 200, body: "<html>", expected: unknown },
        FailedRead {
            reference: ARN,
            status: 200,
            body: r#"{"SecretString":["hunter2"]}"#,
            expected: unknown,
        },
    ] {
        check(reference, &[is(status, body)], &format!("cannot {expected}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_secret_service_times_out_within_seconds() {
    let (_fake, url) = Fake::start([ScriptedResponse::Never, ScriptedResponse::Never]).await;
    let start = Instant::now();
    let error = read(settings(&url), ARN).await.unwrap_err().to_string();
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
        read(without_credentials, "ssm:/o2").await.unwrap_err().to_string(),
        "cannot read ssm:/o2: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set; Lambda sets them from the function's role"
    );
    let without_region = AwsSecretsSettings { region: None, ..settings(&url) };
    assert_eq!(
        read(without_region, "ssm:/o2").await.unwrap_err().to_string(),
        "cannot read ssm:/o2: its region is unknown; give its ARN, or set AWS_REGION"
    );
}

#[tokio::test]
async fn the_proxy_is_used_unless_the_host_is_exempt() {
    let nowhere = Url::parse("http://secrets.nowhere.invalid/").unwrap();
    let (fake, at) = Fake::start([found()]).await;
    let through = async |proxy| {
        read(AwsSecretsSettings { proxy: Some(proxy), ..settings(&nowhere) }, ARN).await
    };
    assert_eq!(through(Proxy::new(&at)).await.unwrap(), "hunter2");
    // The signature names the service's own host, as verified by the fake.
    assert_eq!(fake.requests.lock().unwrap().len(), 1);
    let exempt = Proxy { exempt: ".invalid".to_owned(), ..Proxy::new(&at) };
    let error = through(exempt).await.unwrap_err().to_string();
    assert!(error.contains("cannot reach secrets.nowhere.invalid: "), "{error}");
    assert_eq!(fake.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn tls_is_tunnelled_and_errors_name_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Url::parse(&format!("http://me:hunter22@{address}")).unwrap();
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    });
    let service = Url::parse("https://secretsmanager.eu-west-1.amazonaws.com/").unwrap();
    let through = AwsSecretsSettings { proxy: Some(Proxy::new(&proxy)), ..settings(&service) };
    let error = read(through, ARN).await.unwrap_err().to_string();
    let expected = format!("through the proxy 127.0.0.1:{}", proxy.port().unwrap());
    assert!(error.contains(&expected) && !error.contains("hunter22"), "{error}");
    let asked = asked.await.unwrap();
    assert_eq!(asked, "CONNECT secretsmanager.eu-west-1.amazonaws.com:443 HTTP/1.1\r\n");
}
