//! A signed request through a proxy, over real sockets. Its errors are tested with queues and secrets.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{AwsClient, Credentials, NoResponse, SignedRequest};
use settings::{Proxy, Secret};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;

async fn send_through(proxy: Proxy, endpoint: &Url) -> Result<(u16, Vec<u8>), NoResponse> {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new(SECRET_KEY),
        session_token: Some(Secret::new("session/token==")),
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
    let client = AwsClient::new(|| UNIX_EPOCH + Duration::from_secs(1_785_500_000), Some(proxy));
    client.send(request).await.map(|answer| (answer.status, answer.body))
}

#[tokio::test]
async fn the_proxy_is_used_unless_the_host_is_exempt() {
    let queue = Url::parse("http://sqs.nowhere.invalid/").unwrap();
    let (fake, at) = Fake::start([ScriptedResponse::Is(200, "{}".to_owned())]).await;
    let answer = send_through(Proxy::new(&at), &queue).await;
    assert_eq!(answer, Ok((200, b"{}".to_vec())));
    // The signature names the service's own host, as verified by the fake.
    assert_eq!(fake.requests.lock().unwrap().len(), 1);

    let exempt = Proxy { exempt: ".invalid".to_owned(), ..Proxy::new(&at) };
    let error = send_through(exempt, &queue).await.unwrap_err();
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
    let error = send_through(Proxy::new(&proxy), &queue).await.unwrap_err();
    assert!(!error.may_have_arrived(), "{error}");
    let through = format!("through the proxy 127.0.0.1:{}", proxy.port().unwrap());
    assert!(error.to_string().contains(&through), "{error}");
    asked.abort();
    let asked = asked.await.expect("the proxy was asked");
    assert_eq!(asked, "CONNECT sqs.eu-central-1.amazonaws.com:443 HTTP/1.1\r\n");
    assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
}
