//! A signed request over real sockets: every error states whether the request may have arrived.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{AwsClient, Credentials, NoResponse, SignedRequest};
use settings::{Proxy, Secret};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;

const SESSION_TOKEN: &str = "session/token==";

async fn send_through(
    proxy: Option<Proxy>,
    session_token: &str,
    endpoint: &Url,
) -> Result<(u16, Vec<u8>), NoResponse> {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new(SECRET_KEY),
        session_token: Some(Secret::new(session_token)),
    };
    let request = SignedRequest {
        credentials: &credentials,
        service: "sqs",
        region: "eu-central-1",
        endpoint,
        content_type: "application/x-amz-json-1.0",
        target: "AmazonSQS.SendMessageBatch",
        body: br#"{"QueueUrl":"q"}"#.to_vec(),
        deadline: Instant::now() + Duration::from_secs(30),
        max_response_bytes: 1000,
    };
    let client = AwsClient::new(|| UNIX_EPOCH + Duration::from_secs(1_785_500_000), proxy);
    client.send(request).await.map(|answer| (answer.status, answer.body))
}

async fn send(endpoint: &Url) -> Result<(u16, Vec<u8>), NoResponse> {
    send_through(None, SESSION_TOKEN, endpoint).await
}

#[tokio::test]
async fn every_response_within_the_size_limit_is_returned() {
    let check = async |status: u16, body: &str| {
        let (fake, url) = Fake::start([ScriptedResponse::Is(status, body.to_owned())]).await;
        assert_eq!(send(&url).await, Ok((status, body.as_bytes().to_vec())));
        let (target, region, body) = fake.requests.lock().unwrap()[0].clone();
        assert_eq!(
            (target.as_str(), region.as_str()),
            ("AmazonSQS.SendMessageBatch", "eu-central-1")
        );
        assert_eq!(body, r#"{"QueueUrl":"q"}"#);
    };
    check(200, "{}").await;
    check(200, &"x".repeat(1000)).await;
    check(307, "").await;
    check(403, r#"{"__type":"AccessDenied"}"#).await;
    check(503, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_readable_response_may_have_arrived() {
    let check = async |answer: ScriptedResponse, expected: &str| {
        // A retry would be answered by a second one.
        let (fake, url) = Fake::start([answer, ScriptedResponse::Is(200, "{}".to_owned())]).await;
        let error = send(&url).await.unwrap_err();
        assert!(error.may_have_arrived(), "{error}");
        assert_eq!(error.to_string(), expected.replace("HOST", url.authority()));
        assert_eq!(fake.requests.lock().unwrap().len(), 1);
    };
    check(
        ScriptedResponse::Is(200, "x".repeat(1001)),
        "the answer of HOST is longer than 1000 bytes",
    )
    .await;
    check(
        ScriptedResponse::Closes,
        "cannot reach HOST: connection closed before message completed",
    )
    .await;
    let text = "cannot reach HOST: timed out; does the function's VPC have a way to it, such as a VPC endpoint?";
    check(ScriptedResponse::Never, text).await;
}

#[tokio::test]
async fn an_unsent_request_is_reported_as_not_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let error = send_through(None, "two\nlines", &url).await.unwrap_err();
    assert!(!error.may_have_arrived(), "{error}");
    assert!(!format!("{error} {error:?}").contains("lines"), "{error:?}");
    drop(listener);
    // A closed port; and a server without TLS, so that the handshake fails.
    let error = send(&url).await.unwrap_err();
    assert!(!error.may_have_arrived(), "{error}");
    assert!(matches!(error, NoResponse::NotConnected { .. }), "{error:?}");
    let (_fake, mut url) = Fake::start([]).await;
    url.set_scheme("https").unwrap();
    let error = send(&url).await.unwrap_err();
    assert!(matches!(error, NoResponse::NotConnected { .. }), "{error:?}");
}

#[tokio::test]
async fn the_proxy_is_used_unless_the_host_is_exempt() {
    let queue = Url::parse("http://sqs.nowhere.invalid/").unwrap();
    let (fake, at) = Fake::start([ScriptedResponse::Is(200, "{}".to_owned())]).await;
    let answer = send_through(Some(Proxy::new(&at)), SESSION_TOKEN, &queue).await;
    assert_eq!(answer, Ok((200, b"{}".to_vec())));
    // The signature names the service's own host, as verified by the fake.
    assert_eq!(fake.requests.lock().unwrap().len(), 1);

    let exempt = Proxy { exempt: ".invalid".to_owned(), ..Proxy::new(&at) };
    let error = send_through(Some(exempt), SESSION_TOKEN, &queue).await.unwrap_err();
    assert!(!error.may_have_arrived(), "{error}");
    assert_eq!(fake.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn tls_is_tunnelled_and_errors_name_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Url::parse(&format!("http://me:hunter22@{}", listener.local_addr().unwrap()));
    let proxy = proxy.unwrap();
    let asked = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    });
    let queue = Url::parse("https://sqs.eu-central-1.amazonaws.com/").unwrap();
    let error = send_through(Some(Proxy::new(&proxy)), SESSION_TOKEN, &queue).await.unwrap_err();
    assert!(!error.may_have_arrived(), "{error}");
    let through = format!("through the proxy 127.0.0.1:{}", proxy.port().unwrap());
    assert!(error.to_string().contains(&through), "{error}");
    asked.abort();
    let asked = asked.await.expect("the proxy was asked");
    assert_eq!(asked, "CONNECT sqs.eu-central-1.amazonaws.com:443 HTTP/1.1\r\n");
    assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
}
