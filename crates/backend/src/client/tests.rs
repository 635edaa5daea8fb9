use super::*;
use crate::http::{HttpRequest, HttpResponse, TransportError};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use std::sync::Mutex;
use url::Url;

/// Answers each request with a 401 that repeats its authorization header, and keeps the requests.
#[derive(Debug, Default)]
struct Echo {
    seen: Mutex<Vec<String>>,
    dropped: Mutex<usize>,
}

impl Transport for Echo {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let text = |value: Option<&HeaderValue>| {
            value.map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned())
        };
        let authorization = text(request.headers.get("authorization"));
        let stream = text(request.stream.as_ref());
        self.seen.lock().unwrap().push(format!("{}: {authorization}, {stream}", request.kind));
        let body = Bytes::from(format!("who is {authorization} or Basic first-secret"));
        Ok(HttpResponse { status: 401, headers: HeaderMap::new(), body, cut: false })
    }

    fn drop_connections(&self) -> Result<(), ClientError> {
        *self.dropped.lock().unwrap() += 1;
        Ok(())
    }
}

fn authorization(value: &str) -> Headers {
    let mut headers = Headers::new();
    headers.push("authorization", value).unwrap();
    headers
}

fn client(stream: Option<&str>) -> Client<Echo> {
    let mut destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
    destination.headers = authorization("Basic first-secret");
    destination.stream = stream.map(str::to_owned);
    Client::with_transport(&destination, Echo::default()).unwrap()
}

fn one_record() -> Request {
    let scope = ScopeLogs { log_records: vec![LogRecord::default()], ..Default::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..Default::default() };
    Request::encode::<wire::Logs>(&ExportLogsServiceRequest { resource_logs: vec![resource] })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_request_overrides_the_default_stream() {
    let check = async |own, asked, expected: &str, expected_warning: &str| {
        let client = client(own);
        let outcome = client.export(asked, one_record(), soon()).await;
        let seen = client.transport.seen.lock().unwrap().join("; ");
        assert_eq!(seen, format!("logs: Basic first-secret, {expected}"), "{asked:?}");
        assert_eq!(outcome.warning, expected_warning);
    };
    check(None, None, "-", "").await;
    check(Some("own"), None, "own", "").await;
    check(Some("own"), Some("shop"), "shop", "").await;
    check(Some("own"), Some(""), "own", "").await;
    let warning = r#"stream "a\nb" is not used: it contains characters that a header cannot"#;
    check(None, Some("a\nb"), "-", warning).await;
    check(Some("own"), Some("a\nb"), "own", warning).await;
    let long = "é".repeat(200);
    let warning = format!(
        r#"stream "{}"… is not used: it contains characters that a header cannot"#,
        "é".repeat(60)
    );
    check(None, Some(long.as_str()), "-", &warning).await;
}

#[test]
fn metrics_are_sent_without_a_stream() {
    let streams = SignalKind::ALL
        .map(|kind| client(Some("own")).stream_for(Some("x\n"), kind))
        .map(|(stream, warning)| (stream.is_some(), !warning.is_empty()));
    assert_eq!(streams, [(true, true), (false, false), (true, true)]);
}

#[tokio::test(start_paused = true)]
async fn new_headers_apply_to_clones_and_old_ones_stay_masked() {
    let client = client(None);
    let clone = client.clone();
    clone.set_headers(&authorization("Basic second-secret")).unwrap();
    let outcome = client.export(None, one_record(), soon()).await;
    assert_eq!(*client.transport.seen.lock().unwrap(), ["logs: Basic second-secret, -"]);
    let [part] = outcome.parts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(
        part.reason.to_string(),
        "answered 401 Unauthorized: who is **** or ****: check the authorization header"
    );
    assert!(part.reason.refuses_credentials());
    let debug = format!("{:?}", client.headers);
    assert!(!debug.contains("-secret"), "{debug}");
}

#[test]
fn dropping_connections_is_delegated_to_the_transport() {
    let client = client(None);
    client.drop_connections().unwrap();
    assert_eq!(*client.transport.dropped.lock().unwrap(), 1);
}

/// Answers 503 always.
#[derive(Debug)]
struct Busy;

impl Transport for Busy {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        Ok(HttpResponse { status: 503, headers: HeaderMap::new(), body: Bytes::new(), cut: false })
    }
}

#[tokio::test(start_paused = true)]
async fn seeded_retry_delays_are_reproducible_per_delivery() {
    let waits = async |seed| {
        let destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        let client = Client::with_transport(&destination, Busy).unwrap().with_seeded_waits(seed);
        let mut waits = Vec::new();
        for _ in 0..2 {
            let start = Instant::now();
            drop(client.export(None, one_record(), soon()).await);
            waits.push(start.elapsed());
        }
        waits
    };
    let first = waits(1).await;
    assert_ne!(first[0], first[1]);
    assert_eq!(first, waits(1).await);
    assert_ne!(first, waits(9).await);
}

/// A backend that answers each request with 200 and this body.
struct Answers(&'static str);

impl Transport for Answers {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        let headers = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]);
        let body = Bytes::from_static(self.0.as_bytes());
        Ok(HttpResponse { status: 200, headers, body, cut: false })
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_warning_is_reported_once() {
    let check = async |profile, body, expected: [&str; 3]| {
        let mut destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        destination.profile = profile;
        let client = Client::with_transport(&destination, Answers(body)).unwrap();
        for expected in expected {
            let outcome = client.clone().export(None, one_record(), soon()).await;
            let Outcome { accepted, requests_sent, warning, .. } = outcome;
            assert_eq!((accepted, requests_sent, warning.as_str()), (1, 1, expected));
        }
    };
    let own = "accepted, but the answer is not OTLP: {\"ok\":true}";
    check(Profile::Otlp, "{\"ok\":true}", [own, "", ""]).await;
    let partial = r#"{"partialSuccess":{"errorMessage":"old schema"}}"#;
    check(Profile::Otlp, partial, ["old schema", "", ""]).await;
    check(Profile::OpenObserve, partial, ["old schema", "", ""]).await;
}
