//! A client whose secret is stored elsewhere, against the fake OpenObserve.

use crate::requests::{AUTHORIZATION, destination, numbered, send, started, summary};
use aws::{SecretError, SecretReading, SecretService};
use lambda_otlp_backend::{Client, Outcome};
use settings::{Secret, SecretReference};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use tokio::time::{Instant, advance, sleep};

const RIGHT: &str = "root@example.com:right";
const OLD_HEADER: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpvbGQtc2VjcmV0";
const REFUSED: &str = "0 accepted, 0 ambiguous; 1 ParkWithAlarm: answered 401 Unauthorized: Unauthorized Access: check the authorization header";
const SECONDS: Duration = Duration::from_secs(10);

/// The value at which the service gives no answer.
const HANGS: &str = "hangs";

/// Returns one value, or fails, and counts the questions.
struct Service(Mutex<(Option<&'static str>, usize)>);

impl SecretService for Service {
    fn read<'a>(&'a self, reference: &'a SecretReference) -> SecretReading<'a> {
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            let value = self.0.lock().unwrap().0;
            if value == Some(HANGS) {
                sleep(Duration::from_hours(1)).await;
            }
            let mut state = self.0.lock().unwrap();
            state.1 += 1;
            let down = || SecretError::unavailable(reference, "down");
            state.0.map(Secret::new).ok_or_else(down)
        })
    }

    fn wall_clock(&self) -> SystemTime {
        UNIX_EPOCH
    }
}

struct Scene {
    backend: FakeOpenObserve,
    service: Arc<Service>,
    client: Client,
}

impl Scene {
    async fn new(secret: Option<&'static str>) -> Self {
        let backend = started(FakeOpenObserve::builder()).await;
        let service = Arc::new(Service(Mutex::new((secret, 0))));
        let mut destination = destination(backend.base());
        destination.headers.set("authorization", "Basic of-the-variable").unwrap();
        destination.secret = Some(SecretReference::parse("ssm:/o2").unwrap());
        let client = Client::authorized(&destination, &service, Duration::from_mins(5)).unwrap();
        let client = client.without_retries();
        Self { backend, service, client }
    }

    fn set(&self, secret: Option<&'static str>) {
        self.service.0.lock().unwrap().0 = secret;
    }

    fn asked(&self) -> usize {
        self.service.0.lock().unwrap().1
    }

    async fn export(&self, items: usize) -> Outcome {
        send(&self.client, numbered(0..items)).await
    }

    /// The authorization of each request.
    fn seen(&self) -> Vec<String> {
        let of = |headers: &http::HeaderMap| headers["authorization"].to_str().unwrap().to_owned();
        self.backend.requests().iter().map(|request| of(&request.headers)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_once_and_again_only_after_a_refusal() {
    let scene = Scene::new(Some(RIGHT)).await;
    for _ in 0..2 {
        assert_eq!(scene.export(1).await.accepted, 1);
    }
    assert_eq!((scene.seen(), scene.asked()), (vec![AUTHORIZATION.to_owned(); 2], 1));
    // Until then, no status would cause another read.
    advance(SECONDS).await;
    scene.backend.script([ScriptedResponse::Status(503), ScriptedResponse::Status(404)]);
    for _ in 0..2 {
        assert_eq!(scene.export(1).await.undelivered(), 1);
    }
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_items_are_sent_again_with_a_rotated_secret() {
    let scene = Scene::new(Some("root@example.com:old-secret")).await;
    assert_eq!(summary(&scene.export(1).await), REFUSED);
    advance(SECONDS).await;
    let unchanged = scene.export(1).await;
    assert_eq!((summary(&unchanged).as_str(), unchanged.warning.as_str()), (REFUSED, ""));
    assert_eq!((scene.seen().len(), scene.asked()), (2, 2));

    advance(SECONDS).await;
    scene.set(Some(RIGHT));
    let outcome = scene.export(3).await;
    assert_eq!((outcome.accepted, outcome.requests_sent), (3, 2), "{outcome:?}");
    let seen = scene.seen();
    assert_eq!(seen[2..], [OLD_HEADER, AUTHORIZATION]);
    assert_eq!(scene.backend.log_records().len(), 3);
    // Both stay masked.
    let body = format!("not old-secret but {AUTHORIZATION}").into_bytes();
    scene.backend.script([ScriptedResponse::Response { status: 400, headers: vec![], body }]);
    let text = summary(&scene.export(1).await);
    assert!(text.ends_with("answered 400 Bad Request: not **** but ****"), "{text}");
    let debug = format!("{:?}", scene.client);
    assert!(!debug.contains("old-secret") && !debug.contains("cm9v"), "{debug}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_may_be_another_header() {
    let scene = Scene::new(Some("api-key: k-12345678")).await;
    drop(scene.export(1).await);
    let requests = scene.backend.requests();
    let sent = &requests[0].headers;
    assert_eq!([&sent["api-key"], &sent["authorization"]], ["k-12345678", "Basic of-the-variable"]);
    let body = b"not k-12345678".to_vec();
    scene.backend.script([ScriptedResponse::Response { status: 400, headers: vec![], body }]);
    let text = summary(&scene.export(1).await);
    assert!(text.ends_with("answered 400 Bad Request: not ****"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_without_the_secret() {
    let scene = Scene::new(None).await;
    let unsent = "0 accepted, 0 ambiguous; 3 ParkWithAlarm: not sent: no credentials: cannot read ssm:/o2: down";
    assert_eq!(summary(&scene.export(3).await), unsent);
    scene.set(Some(RIGHT));
    // Reads again after a while, not at every request.
    assert_eq!((scene.export(1).await.accepted, scene.asked()), (0, 1));
    assert_eq!(scene.seen(), [""; 0]);
    advance(SECONDS).await;
    assert_eq!(scene.export(1).await.accepted, 1);

    // A caller with an early deadline does not cancel the reading of others.
    let scene = Scene::new(Some(RIGHT)).await;
    let soon = Instant::now() + Duration::from_millis(5);
    let hurried = scene.client.export(None, numbered(0..1), soon);
    let (hurried, other) = tokio::join!(hurried, scene.export(1));
    let text = summary(&hurried);
    assert!(text.ends_with("the secret was not read before the deadline"), "{text}");
    assert_eq!((other.accepted, scene.seen().len()), (1, 1));

    let scene = Scene::new(Some("hunter2")).await;
    let text = summary(&scene.export(1).await);
    assert!(
        text.contains("not sent: no credentials: cannot use ssm:/o2: expected `Basic"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

/// A secret lives for five minutes.
#[tokio::test(start_paused = true)]
async fn the_last_secret_is_kept_while_the_service_fails() {
    let scene = Scene::new(Some(RIGHT)).await;
    let check = async |seconds, asked, warning: &str| {
        advance(Duration::from_secs(seconds)).await;
        let (one, other) = tokio::join!(scene.export(1), scene.export(1));
        assert_eq!((one.accepted, other.accepted, scene.asked()), (1, 1, asked), "{one:?}");
        assert_eq!((one.warning.as_str(), other.warning.as_str()), (warning, warning));
    };
    check(0, 1, "").await;
    check(290, 1, "").await;
    check(20, 2, "").await;
    scene.set(None);
    let down = "the previous secret stays in use: cannot read ssm:/o2: down";
    check(310, 3, down).await;
    check(20, 3, down).await;
    check(20, 4, down).await;
    scene.set(Some(HANGS));
    let late = "the previous secret stays in use: cannot read ssm:/o2: no answer within 1 s";
    check(40, 4, late).await;
    scene.set(Some(RIGHT));
    check(40, 5, "").await;
}
