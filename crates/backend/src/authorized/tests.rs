use super::*;
use crate::export::RetryPolicy;
use crate::http::{HttpRequest, HttpResponse, TransportError};
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use proptest::prelude::*;
use settings::{Secret, SecretReference};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::{advance, sleep};
use url::Url;

/// Accepts one password, which may change, and refuses some requests regardless of their content.
#[derive(Debug, Default)]
struct Backend {
    password: Mutex<String>,
    /// Statuses for the first requests with the right password; 200 after that.
    statuses: Mutex<VecDeque<u16>>,
    /// Authorization header, bytes, status.
    seen: Mutex<Vec<(String, usize, u16)>>,
    stored: Mutex<BTreeMap<u64, usize>>,
}

impl Backend {
    fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(header, _, status)| format!("{header} {status}")).collect()
    }
}

impl Transport for Backend {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        sleep(Duration::from_millis(10)).await;
        let header = request.headers.get("authorization");
        let header = header.map_or("none".to_owned(), |value| value.to_str().unwrap().to_owned());
        let right = *self.password.lock().unwrap() == header;
        let scripted = if right { self.statuses.lock().unwrap().pop_front() } else { Some(401) };
        let status = scripted.unwrap_or(200);
        if status == 200 {
            let body = wire::gzip::inflate(&request.body, 1 << 20).unwrap();
            let mut stored = self.stored.lock().unwrap();
            for number in numbers(&body) {
                *stored.entry(number).or_default() += 1;
            }
        }
        self.seen.lock().unwrap().push((header, request.body.len(), status));
        Ok(HttpResponse { status, headers: HeaderMap::new(), body: Bytes::new(), cut: false })
    }
}

/// Returns the configured secrets in turn.
#[derive(Debug, Default)]
struct Service {
    value: Mutex<Option<String>>,
    asked: Mutex<usize>,
}

impl SecretService for Service {
    async fn read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        sleep(Duration::from_millis(10)).await;
        *self.asked.lock().unwrap() += 1;
        self.value.lock().unwrap().clone().map(Secret::new).ok_or_else(|| SecretError::NoResponse {
            secret: reference.to_string(),
            text: "down".to_owned(),
        })
    }

    fn wall_clock(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH
    }
}

struct Scene {
    authorized: Authorized<Arc<Backend>, Arc<Service>>,
    backend: Arc<Backend>,
    service: Arc<Service>,
}

impl Scene {
    /// The backend accepts `password`, the service returns `secret`.
    fn new(password: &str, secret: Option<&str>) -> Self {
        let backend = Arc::new(Backend::default());
        let service = Arc::new(Service::default());
        let mut destination = DestinationConfig::new(&Url::parse("http://127.0.0.1:9/").unwrap());
        destination.headers.push("authorization", "Basic of-the-variable").unwrap();
        // Every item alone.
        destination.max_request_bytes = 1;
        let policy = RetryPolicy::new(0, MS, MS, Duration::from_secs(10)).unwrap();
        let client = Client::with_transport(&destination, Arc::clone(&backend)).unwrap();
        let cached = CachedSecret::new(
            Arc::clone(&service),
            SecretReference::parse("ssm:/o2").unwrap(),
            Duration::from_mins(5),
        );
        let headers = destination.headers.clone();
        let client = client.with_retry_policy(policy);
        let authorized = Authorized::with_client(client, headers, Some(Arc::new(cached)));
        let scene = Self { authorized, backend, service };
        scene.rotate(password, secret);
        scene
    }

    fn rotate(&self, password: &str, secret: Option<&str>) {
        *self.backend.password.lock().unwrap() = password.to_owned();
        *self.service.value.lock().unwrap() = secret.map(str::to_owned);
    }

    async fn export(&self, items: u64) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(30);
        self.authorized.export(None, numbered(items), deadline).await
    }

    fn asked(&self) -> usize {
        *self.service.asked.lock().unwrap()
    }
}

const MS: Duration = Duration::from_millis(1);
const OLD: &str = "Bearer old";
const NEW: &str = "Bearer new";

/// Log records with the times 1, 2, ….
fn numbered(records: u64) -> Request {
    let log_record = |time_unix_nano| LogRecord { time_unix_nano, ..Default::default() };
    let log_records = (1..=records).map(log_record).collect();
    let scope = ScopeLogs { log_records, ..Default::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..Default::default() };
    Request::encode::<wire::Logs>(&ExportLogsServiceRequest { resource_logs: vec![resource] })
}

fn numbers(body: &[u8]) -> Vec<u64> {
    let decoded: ExportLogsServiceRequest = prost::Message::decode(body).unwrap();
    let scopes = decoded.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    scopes.flat_map(|scope| &scope.log_records).map(|record| record.time_unix_nano).collect()
}

fn reasons(outcome: &Outcome) -> Vec<String> {
    outcome
        .parts
        .iter()
        .map(|part| format!("{} {:?}: {}", part.items, part.fate, part.reason))
        .collect()
}

const REFUSED: &str = "1 ParkWithAlarm: answered 401 Unauthorized: check the authorization header";

#[tokio::test(start_paused = true)]
async fn the_secret_is_read_once_and_replaces_the_header() {
    let scene = Scene::new(OLD, Some(OLD));
    assert_eq!(scene.export(1).await.accepted, 1);
    assert_eq!(scene.export(1).await.accepted, 1);
    assert_eq!(scene.backend.seen(), ["Bearer old 200"; 2]);
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_all_items_are_parked_with_alarm() {
    let scene = Scene::new(OLD, None);
    let outcome = scene.export(3).await;
    assert_eq!(
        reasons(&outcome),
        ["3 ParkWithAlarm: not sent: no credentials: cannot read ssm:/o2: down"]
    );
    assert_eq!((scene.backend.seen().len(), scene.asked()), (0, 1));
    // Reads again after a while, not at every request.
    assert_eq!(scene.export(1).await.accepted, 0);
    assert_eq!(scene.asked(), 1);
    advance(Duration::from_secs(5)).await;
    scene.rotate(OLD, Some(OLD));
    assert_eq!(scene.export(1).await.accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn refused_items_are_resent_with_the_rotated_secret() {
    let scene = Scene::new(OLD, Some(OLD));
    assert_eq!(scene.export(1).await.accepted, 1);
    advance(Duration::from_secs(10)).await;
    scene.rotate(NEW, Some(NEW));
    let outcome = scene.export(3).await;
    assert_eq!((outcome.accepted, outcome.requests_sent, reasons(&outcome)), (3, 4, vec![]));
    let seen = scene.backend.seen();
    assert_eq!(seen[1..], ["Bearer old 401", "Bearer new 200", "Bearer new 200", "Bearer new 200"]);
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_refusals_share_one_secret_read() {
    let scene = Scene::new(OLD, Some(OLD));
    assert_eq!(scene.export(1).await.accepted, 1);
    advance(Duration::from_secs(10)).await;
    scene.rotate(NEW, Some(NEW));
    let (a, b, c) = tokio::join!(scene.export(1), scene.export(1), scene.export(1));
    assert_eq!((a.accepted, b.accepted, c.accepted), (1, 1, 1));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_secret_causes_no_resend() {
    let scene = Scene::new(NEW, Some(OLD));
    let outcome = scene.export(1).await;
    assert_eq!(reasons(&outcome), [REFUSED]);
    advance(Duration::from_secs(10)).await;
    let outcome = scene.export(1).await;
    assert_eq!((reasons(&outcome), outcome.warning.as_str()), (vec![REFUSED.to_owned()], ""));
    assert_eq!(scene.backend.seen(), ["Bearer old 401"; 2]);
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_previous_secret_is_kept_while_the_service_fails() {
    let scene = Scene::new(OLD, Some(OLD));
    assert_eq!(scene.export(1).await.accepted, 1);
    scene.rotate(OLD, None);
    advance(Duration::from_mins(6)).await;
    let outcome = scene.export(1).await;
    assert_eq!(outcome.accepted, 1);
    let warning = "the previous secret stays in use: cannot read ssm:/o2: down";
    assert_eq!(outcome.warning, warning);
    scene.rotate(NEW, None);
    advance(Duration::from_secs(10)).await;
    let outcome = scene.export(1).await;
    assert_eq!((reasons(&outcome), outcome.warning.as_str()), (vec![REFUSED.to_owned()], warning));
}

#[tokio::test(start_paused = true)]
async fn other_errors_do_not_reread_the_secret() {
    let scene = Scene::new(OLD, Some(OLD));
    assert_eq!(scene.export(1).await.accepted, 1);
    // Until then, no status would cause another read.
    advance(Duration::from_secs(10)).await;
    scene.backend.statuses.lock().unwrap().extend([503, 404]);
    let outcome = scene.export(1).await;
    assert_eq!(reasons(&outcome), ["1 Park: answered 503 Service Unavailable"]);
    assert_eq!(scene.export(1).await.undelivered(), 1);
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_bounds_the_secret_read() {
    let scene = Scene::new(OLD, Some(OLD));
    let outcome = scene.authorized.export(None, numbered(1), Instant::now() + 5 * MS).await;
    assert_eq!(
        reasons(&outcome),
        ["1 ParkWithAlarm: not sent: no credentials: the secret was not read before the deadline"]
    );
}

/// A step between two exports.
#[derive(Debug, Clone)]
struct Round {
    seconds: u64,
    password_is_new: bool,
    secret: Option<bool>,
    items: u64,
    statuses: Vec<u16>,
}

fn round() -> impl Strategy<Value = Round> {
    let status = prop_oneof![4 => Just(200), 1 => Just(401), 1 => Just(403), 1 => Just(503), 1 => Just(400), 1 => Just(500)];
    (0..400u64, any::<bool>(), any::<Option<bool>>(), 0..6u64, prop::collection::vec(status, 0..8))
        .prop_map(|(seconds, password_is_new, secret, items, statuses)| Round {
            seconds,
            password_is_new,
            secret,
            items,
            statuses,
        })
}

proptest! {
    #[test]
    fn every_item_is_stored_or_undelivered_exactly_once(rounds in prop::collection::vec(round(), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let named = |is_new: bool| if is_new { NEW } else { OLD };
            let scene = Scene::new(OLD, None);
            for round in rounds {
                advance(Duration::from_secs(round.seconds)).await;
                scene.rotate(named(round.password_is_new), round.secret.map(named));
                *scene.backend.statuses.lock().unwrap() = round.statuses.iter().copied().collect();
                scene.backend.stored.lock().unwrap().clear();
                scene.backend.seen.lock().unwrap().clear();
                let outcome = scene.export(round.items).await;
                let stored = scene.backend.stored.lock().unwrap().clone();
                let mut undelivered = Vec::new();
                for part in &outcome.parts {
                    let numbers = numbers(part.request.bytes());
                    assert_eq!(part.items, numbers.len());
                    undelivered.extend(numbers);
                }
                // This backend never stores items it reports as failed, so the account is exact.
                assert_eq!(outcome.accepted, stored.len());
                assert!(stored.values().all(|times| *times == 1), "{stored:?}");
                let mut all: Vec<u64> = stored.into_keys().chain(undelivered).collect();
                all.sort_unstable();
                assert_eq!(all, (1..=round.items).collect::<Vec<_>>());
                let seen = scene.backend.seen();
                assert_eq!(outcome.requests_sent, seen.len());
                assert!(!seen.iter().any(|line| line.contains("of-the-variable")), "{seen:?}");
            }
        });
    }
}
