//! Deliveries of the Telemetry API, under each behaviour that AWS has not published.

use crate::puppets::{
    EXTENSION, FUNCTION, PuppetApi, Puppets, function, refusal, subscription, text,
};
use http_body_util::BodyExt as _;
use lambda_otlp_local_lambda::fidelity::{
    HandlerErrorReport, ManagedDelivery, TelemetryAtShutdown, Unpublished,
};
use lambda_otlp_local_lambda::{HttpServer, Initialization};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A subscriber that answers each delivery with the next status, when it gets a permit.
struct Subscriber {
    server: HttpServer,
    deliveries: Arc<Mutex<Vec<ReceivedBatch>>>,
    permits: Arc<Semaphore>,
}

#[derive(Clone)]
struct ReceivedBatch {
    path: String,
    has_sequence_id: bool,
    events: Vec<Value>,
}

impl Subscriber {
    async fn with(statuses: &'static [u16]) -> Self {
        let deliveries = Arc::new(Mutex::new(Vec::<ReceivedBatch>::new()));
        let permits = Arc::new(Semaphore::new(0));
        let kept = Arc::clone(&deliveries);
        let waits = Arc::clone(&permits);
        let server = HttpServer::start(move |request: http::Request<hyper::body::Incoming>| {
            let kept = Arc::clone(&kept);
            let waits = Arc::clone(&waits);
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let delivery = ReceivedBatch {
                    path: head.uri.path().to_owned(),
                    has_sequence_id: head.headers.contains_key("sequence-id"),
                    events: serde_json::from_slice(&bytes).unwrap(),
                };
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(delivery);
                    kept.len() - 1
                };
                waits.acquire().await.unwrap().forget();
                let status = statuses.get(number).copied().unwrap_or(200);
                let answer = http::Response::builder().status(status);
                answer.body(http_body_util::Full::default()).unwrap()
            }
        });
        Self { server: server.await.unwrap(), deliveries, permits }
    }

    fn deliveries(&self) -> Vec<ReceivedBatch> {
        self.deliveries.lock().unwrap().clone()
    }

    /// The delivered events of this type, in each delivery.
    fn events(&self, kind: &str) -> Vec<Value> {
        let deliveries = self.deliveries().into_iter();
        deliveries
            .flat_map(|delivery| delivery.events)
            .filter(|event| event["type"] == kind)
            .collect()
    }

    async fn wait_for(&self, deliveries: usize) {
        while self.deliveries().len() < deliveries {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn managed(delivery: ManagedDelivery, subscriber: &Subscriber) -> (Puppets, PuppetApi) {
    let unpublished = Unpublished::default().managed_delivery(delivery);
    let spec = function("until [ -e \"$ADDRESS.go\" ]; do echo a line; sleep 0.01; done")
        .initialization(Initialization::ManagedInstances)
        .unpublished(unpublished);
    let puppets = Puppets::of(spec).await;
    let _ = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    let api = puppets.api().await;
    let identifier = api.register(EXTENSION, r#"["SHUTDOWN"]"#).await;
    let body = subscription(subscriber.server.address().port())
        .replace("[\"platform\"]", "[\"platform\",\"function\"]");
    assert_eq!(text(&api.subscribe(&identifier, &body).await), "\"OK\"");
    let second = api.subscribe(&identifier, &body).await;
    assert_eq!(refusal(&second), "500 InternalServerError");
    (puppets, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_instance_delivers_each_batch_once_to_the_root_path() {
    let subscriber = Subscriber::with(&[200, 200, 500]).await;
    let (_puppets, _api) = managed(ManagedDelivery::Emulator, &subscriber).await;
    subscriber.wait_for(1).await;
    // Batches that are due while the first is not answered are lost.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(subscriber.deliveries().len(), 1);
    subscriber.permits.add_permits(1000);
    for reason in ["slower than the logs", "could not send events: 500 Internal Server Error"] {
        let has_reason =
            |event: &Value| event["record"]["reason"].as_str().unwrap().contains(reason);
        while !subscriber.events("platform.logsDropped").iter().any(has_reason) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let deliveries = subscriber.deliveries();
    assert!(deliveries.iter().all(|one| one.path == "/" && one.has_sequence_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_instance_that_ends_drops_no_events_while_a_batch_is_on_its_way() {
    let subscriber = Subscriber::with(&[]).await;
    let (puppets, _api) = managed(ManagedDelivery::Emulator, &subscriber).await;
    subscriber.wait_for(1).await;
    puppets.go();
    puppets.lambda.wait_for_invocations().await;
    while puppets.lambda.environments(FUNCTION).iter().any(|environment| environment.pid.is_some())
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let events = puppets.lambda.platform_events(FUNCTION);
    let drops = events.iter().filter(|event| event.contains("platform.logsDropped")).count();
    // A batch is due every 25 ms before the end.
    assert!(drops < 1000, "{drops}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_instance_may_deliver_as_documented_too() {
    let subscriber = Subscriber::with(&[500]).await;
    subscriber.permits.add_permits(1000);
    let (_puppets, _api) = managed(ManagedDelivery::Documented, &subscriber).await;
    subscriber.wait_for(2).await;
    let deliveries = subscriber.deliveries();
    assert!(deliveries.iter().all(|one| one.path == "/agreed" && !one.has_sequence_id));
    // The refused events come again.
    assert!(deliveries[1].events.starts_with(&deliveries[0].events));
    assert!(subscriber.events("platform.logsDropped").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_error_is_reported_as_chosen() {
    for (report, status) in
        [(HandlerErrorReport::Error, "error"), (HandlerErrorReport::Success, "success")]
    {
        let unpublished = Unpublished::default().handler_error_report(report);
        let puppets = Puppets::of(function("exec sleep 1000").unpublished(unpublished)).await;
        let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
        let api = puppets.api().await;
        let identifier = api.register(EXTENSION, "[]").await;
        let _waits = api.extension_next(&identifier);
        let event = api.runtime_next().await.unwrap();
        api.fail(&event).await;
        let _next = api.runtime_next();
        assert!(!running.finished().await.unwrap().is_success());
        let events = puppets.lambda.platform_events(FUNCTION);
        let statuses: Vec<(String, String)> = events
            .iter()
            .map(|event| serde_json::from_str::<Value>(event).unwrap())
            .filter(|event| event["record"]["requestId"].is_string())
            .filter(|event| event["record"]["status"].is_string())
            .map(|event| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (text(&event["type"]), text(&event["record"]["status"]))
            })
            .collect();
        let expected = [("platform.runtimeDone", "success"), ("platform.report", status)];
        assert_eq!(statuses, expected.map(|(kind, status)| (kind.to_owned(), status.to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_of_a_failed_init_is_delivered_at_shutdown_as_chosen() {
    for (telemetry, is_flushed) in
        [(TelemetryAtShutdown::Flushed, true), (TelemetryAtShutdown::Buffered, false)]
    {
        let subscriber = Subscriber::with(&[]).await;
        subscriber.permits.add_permits(1000);
        let unpublished = Unpublished::default().telemetry_at_shutdown(telemetry);
        let script = "while [ ! -e \"$ADDRESS.go\" ]; do sleep 0.01; done; exit 3";
        let puppets = Puppets::of(function(script).unpublished(unpublished)).await;
        let _running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
        let api = puppets.api().await;
        let identifier = api.register(EXTENSION, r#"["SHUTDOWN"]"#).await;
        // The buffering's time is longer than the test.
        let body = subscription(subscriber.server.address().port()).replace(":25}", ":30000}");
        assert_eq!(api.subscribe(&identifier, &body).await.status, 200);
        let shutdown = api.extension_next(&identifier);
        puppets.go();
        assert!(text(&shutdown.await.unwrap()).contains("SHUTDOWN"));
        assert_eq!(!subscriber.deliveries().is_empty(), is_flushed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_after_a_failed_init_gets_all_events_since_its_begin() {
    let subscriber = Subscriber::with(&[]).await;
    subscriber.permits.add_permits(1000);
    let script = "until [ -e \"$ADDRESS.go\" ]; do sleep 0.01; done; rm \"$ADDRESS.go\"; exit 3";
    let puppets = Puppets::of(function(script)).await;
    let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
    let of_init = puppets.api().await;
    let identifier = of_init.register(EXTENSION, r#"["SHUTDOWN"]"#).await;
    puppets.go();
    assert!(text(&of_init.extension_next(&identifier).await.unwrap()).contains("SHUTDOWN"));
    let of_invocation = puppets.api().await;
    let identifier = of_invocation.register(EXTENSION, r#"["SHUTDOWN"]"#).await;
    puppets.go();
    let is_reported = || {
        let events = puppets.lambda.platform_events(FUNCTION);
        events.iter().any(|event| event.contains("platform.report"))
    };
    while !is_reported() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let body = subscription(subscriber.server.address().port());
    assert_eq!(text(&of_invocation.subscribe(&identifier, &body).await), "\"OK\"");
    assert!(text(&of_invocation.extension_next(&identifier).await.unwrap()).contains("SHUTDOWN"));
    assert!(!running.finished().await.unwrap().is_success());
    let kinds = ["initStart", "initReport", "start", "runtimeDone", "report"];
    while kinds.iter().any(|kind| subscriber.events(&format!("platform.{kind}")).is_empty()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Those of the first init were its environment's.
    assert_eq!(subscriber.events("platform.initStart").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_fails_within_an_invocation_comes_before_its_start_and_ends_it() {
    struct FailingInit {
        script: &'static str,
        timeout: Duration,
        /// The status and error type of `platform.initRuntimeDone`.
        runtime_end: &'static str,
        /// Those of all other events.
        end: &'static str,
    }
    let exits = FailingInit {
        // The extension has subscribed before the runtime exits.
        script: "while [ ! -e \"$ADDRESS.go\" ]; do sleep 0.01; done; rm \"$ADDRESS.go\"; exit 3",
        timeout: Duration::from_mins(1),
        runtime_end: "error Runtime.ExitError",
        end: "error Runtime.ExitError",
    };
    let hangs = FailingInit {
        script: "exec sleep 1000",
        timeout: Duration::from_secs(1),
        runtime_end: "error Runtime.Unknown",
        end: "timeout",
    };
    for FailingInit { script, timeout, runtime_end, end } in [exits, hangs] {
        let subscriber = Subscriber::with(&[]).await;
        subscriber.permits.add_permits(1000);
        let puppets = Puppets::of(function(script).init_timeout(timeout).timeout(timeout)).await;
        let running = puppets.lambda.begin_invocation(FUNCTION, "{}").unwrap();
        for _ in ["init", "invoke"] {
            let api = puppets.api().await;
            let identifier = api.register(EXTENSION, r#"["SHUTDOWN"]"#).await;
            let body = subscription(subscriber.server.address().port()).replace(":25}", ":30000}");
            assert_eq!(api.subscribe(&identifier, &body).await.status, 200);
            puppets.go();
            assert!(text(&api.extension_next(&identifier).await.unwrap()).contains("SHUTDOWN"));
        }
        assert!(!running.finished().await.unwrap().is_success());
        let summary = |event: &Value| {
            let kind = event["type"].as_str().unwrap().strip_prefix("platform.").unwrap();
            let record = &event["record"];
            let values = ["phase", "status", "errorType"].map(|key| record[key].as_str());
            [Some(kind)].into_iter().chain(values).flatten().collect::<Vec<_>>().join(" ")
        };
        let deliveries = subscriber.deliveries();
        let delivered: Vec<String> = deliveries
            .iter()
            .flat_map(|delivery| &delivery.events)
            .map(summary)
            .filter(|summary| !summary.starts_with("telemetrySubscription"))
            .collect();
        let of_init = |phase: &str| {
            [
                format!("initStart {phase}"),
                format!("initRuntimeDone {phase} {runtime_end}"),
                "extension".to_owned(),
                format!("initReport {phase} {end}"),
            ]
        };
        let of_invocation = [format!("runtimeDone {end}"), format!("report {end}")];
        let expected: Vec<String> = of_init("init")
            .into_iter()
            .chain(of_init("invoke"))
            .chain(["start".to_owned()])
            .chain(of_invocation)
            .collect();
        assert_eq!(delivered, expected);
    }
}
