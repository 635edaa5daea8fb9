//! Two backends with different passwords and one secret service, over real sockets: each backend gets its own credentials.

use aws::{SecretReading, SecretService};
use backend::{Client, DestinationConfig, Outcome};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use settings::{Secret, SecretReference};
use std::sync::Arc;
use std::time::Duration;
use test_support::openobserve::FakeOpenObserve;
use tokio::time::Instant;
use url::Url;
use wire::Request;

/// The backends' time, in nanoseconds since the Unix epoch.
const NOW: u64 = 1_785_500_000_000_000_000;

#[derive(Debug)]
struct Service;

impl SecretService for Service {
    fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a> {
        let value = match reference.to_string().as_str() {
            "ssm:/shop" => "shop@h:sesame",
            _ => r#"{"username":"bank@h","password":"safe"}"#,
        };
        Box::pin(async move { Ok(Secret::new(value)) })
    }

    fn wall_clock(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH
    }
}

async fn backend(email: &str, password: &str) -> FakeOpenObserve {
    FakeOpenObserve::builder().clock(|| NOW).user(email, password).start().await.unwrap()
}

fn authorized(backend: &FakeOpenObserve, reference: &str, service: &Arc<Service>) -> Client {
    let mut destination = DestinationConfig::new(&Url::parse(backend.base()).unwrap());
    destination.secret = Some(SecretReference::parse(reference).unwrap());
    Client::authorized(&destination, service, Duration::from_mins(5)).unwrap()
}

async fn export(authorized: &Client) -> Outcome {
    let record = LogRecord { time_unix_nano: NOW, ..Default::default() };
    let request = Request::of_log_records(None, vec![record]);
    authorized.export(Some("lambda"), request, Instant::now() + Duration::from_secs(10)).await
}

fn seen(backend: &FakeOpenObserve) -> Vec<String> {
    let header = |headers: &http::HeaderMap| {
        headers.get("authorization").unwrap().to_str().unwrap().to_owned()
    };
    backend.requests().iter().map(|request| header(&request.headers)).collect()
}

#[tokio::test]
async fn each_backend_gets_its_own_credentials() {
    let service = Arc::new(Service);
    for (reference, email, password, expected) in [
        ("ssm:/shop", "shop@h", "sesame", "Basic c2hvcEBoOnNlc2FtZQ=="),
        ("ssm:/bank", "bank@h", "safe", "Basic YmFua0BoOnNhZmU="),
    ] {
        let backend = backend(email, password).await;
        let client = authorized(&backend, reference, &service);
        assert_eq!(export(&client).await.accepted, 1);
        assert_eq!((seen(&backend), backend.log_records().len()), (vec![expected.to_owned()], 1));
    }
}
