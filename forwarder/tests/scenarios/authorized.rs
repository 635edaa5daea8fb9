//! Two backends with different passwords and one secret service, over real sockets: each backend gets its own credentials.

use aws::{SecretReading, SecretService};
use backend::{Client, DestinationConfig, Outcome};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use settings::{Secret, SecretReference};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_support::openobserve::Sink;
use tokio::time::{Instant, advance};
use url::Url;
use wire::Request;

/// The sinks' time, in nanoseconds since the Unix epoch.
const NOW: u64 = 1_785_500_000_000_000_000;

#[derive(Debug, Default)]
struct Service(Mutex<HashMap<String, String>>);

impl Service {
    fn keep(&self, reference: &str, value: &str) {
        self.0.lock().unwrap().insert(reference.to_owned(), value.to_owned());
    }
}

impl SecretService for Service {
    fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a> {
        let value = Secret::new(self.0.lock().unwrap().get(&reference.to_string()).unwrap());
        Box::pin(async { Ok(value) })
    }

    fn wall_clock(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH
    }
}

async fn sink(email: &str, password: &str) -> Sink {
    Sink::builder().clock(|| NOW).user(email, password).start().await.unwrap()
}

fn authorized(sink: &Sink, reference: &str, service: &Arc<Service>) -> Client {
    let mut destination = DestinationConfig::new(&Url::parse(sink.base()).unwrap());
    destination.secret = Some(SecretReference::parse(reference).unwrap());
    Client::authorized(&destination, service, Duration::from_mins(5)).unwrap()
}

async fn export(authorized: &Client) -> Outcome {
    let record = LogRecord { time_unix_nano: NOW, ..Default::default() };
    let request = Request::of_log_records(None, vec![record]);
    authorized.export(Some("lambda"), request, Instant::now() + Duration::from_secs(10)).await
}

fn seen(sink: &Sink) -> Vec<String> {
    let header = |headers: &http::HeaderMap| {
        headers.get("authorization").unwrap().to_str().unwrap().to_owned()
    };
    sink.requests().iter().map(|request| header(&request.headers)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_backend_gets_its_own_credentials_even_after_rotation() {
    let (shop, bank) = (sink("shop@h", "sesame").await, sink("bank@h", "safe").await);
    let service = Arc::new(Service::default());
    service.keep("ssm:/shop", "shop@h:sesame");
    service.keep("ssm:/bank", r#"{"username":"bank@h","password":"open"}"#);
    let to_shop = authorized(&shop, "ssm:/shop", &service);
    let to_bank = authorized(&bank, "ssm:/bank", &service);

    assert_eq!(export(&to_shop).await.accepted, 1);
    let refused = export(&to_bank).await;
    let [part] = refused.parts.as_slice() else { panic!("{refused:?}") };
    assert!(part.reason.to_string().starts_with("answered 401 Unauthorized"), "{}", part.reason);

    service.keep("ssm:/bank", r#"{"username":"bank@h","password":"safe"}"#);
    advance(Duration::from_secs(5)).await;
    assert_eq!(export(&to_bank).await.accepted, 1);

    assert_eq!(seen(&shop), ["Basic c2hvcEBoOnNlc2FtZQ=="]);
    let (wrong, right) = ("Basic YmFua0BoOm9wZW4=", "Basic YmFua0BoOnNhZmU=");
    assert_eq!(seen(&bank), [wrong, wrong, right]);
    assert_eq!((shop.log_records().len(), bank.log_records().len()), (1, 1));
}
