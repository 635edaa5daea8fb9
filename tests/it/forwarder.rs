//! The real forwarder as a process in a local Lambda, with a healthy, failing or missing backend.

use base64::Engine as _;
use lambda_otlp_tests::{binary, fixture};
use simulator::queue::{Queue, QueueServer};
use simulator::sink::Sink;
use simulator::{FunctionSpec, Lambda, OnFailureRecord};
use std::time::Duration;

const USER: &str = "root@example.com";
const PASSWORD: &str = "s3cret-password";

fn authorization(password: &str) -> String {
    let credentials =
        base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    format!("authorization=Basic {credentials}")
}

struct Invoked {
    attempts: usize,
    on_failure: Option<OnFailureRecord>,
    log: String,
}

impl Invoked {
    fn error(&self) -> String {
        let record = self.on_failure.as_ref().expect("the invocation failed for good");
        assert!(record.request_payload.to_string().contains("awslogs"), "the event is kept whole");
        record.response_payload.to_string()
    }
}

async fn invoke(event: &str, variables: &[(&str, &str)]) -> Invoked {
    let lambda = Lambda::start().await.unwrap();
    let mut function = FunctionSpec::new("forwarder", binary("lambda-otlp-forwarder"))
        .timeout(Duration::from_secs(30))
        // The samples are of another time.
        .env("LAMBDA_OTLP_INGEST_WINDOW", "1000000h");
    for (name, value) in variables {
        function = function.env(*name, *value);
    }
    lambda.create_function(function).unwrap();
    lambda.invoke_async("forwarder", fixture(&format!("events/awslogs-{event}.json"))).unwrap();
    lambda.wait_for_async_invocations().await;
    let invoked = Invoked {
        attempts: lambda.invocations("forwarder").len(),
        on_failure: lambda.on_failure_records().pop(),
        log: lambda.log_events("forwarder").iter().map(|event| event.message.as_str()).collect(),
    };
    lambda.shut_down().await;
    invoked
}

async fn sink() -> Sink {
    Sink::builder()
        .organization("default")
        .strict_organizations()
        .user("admin@example.com", "other")
        .member(USER, PASSWORD)
        .no_window()
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_mixed_event_is_forwarded_completely() {
    let sink = sink().await;
    let headers = authorization(PASSWORD);
    let invoked = invoke(
        "text-mixed",
        &[
            ("LAMBDA_OTLP_ENDPOINT", sink.base()),
            ("LAMBDA_OTLP_HEADERS", &headers),
            ("LAMBDA_OTLP_STREAM", "lambda"),
            ("LAMBDA_OTLP_VITALS", "emf"),
        ],
    )
    .await;
    assert_eq!(invoked.attempts, 1, "{}", invoked.log);
    assert!(invoked.on_failure.is_none());
    let counts = sink.counts();
    assert_eq!((counts.spans, counts.log_records, counts.data_points), (30, 8, 15));
    assert!(sink.spans().iter().all(|span| span.stream == "lambda"));
    assert_eq!(format!("{:?}", sink.oddities()), "[]");
}

#[tokio::test]
async fn an_unreachable_backend_returns_the_event() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}/api/default");
    let invoked = invoke("otlp-only", &[("LAMBDA_OTLP_ENDPOINT", &endpoint)]).await;
    assert_eq!(invoked.attempts, 3, "Lambda tries an asynchronous event three times");
    let error = invoked.error();
    assert!(error.contains("530 of 530 items were not delivered"), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_returns_the_event_and_is_not_logged() {
    let sink = sink().await;
    let headers = authorization("wr0ng-password");
    let invoked = invoke(
        "otlp-only",
        &[("LAMBDA_OTLP_ENDPOINT", sink.base()), ("LAMBDA_OTLP_HEADERS", &headers)],
    )
    .await;
    let error = invoked.error();
    assert!(error.contains("401 Unauthorized"), "{error}");
    for secret in ["wr0ng-password", headers.rsplit(' ').next().unwrap()] {
        assert!(!invoked.log.contains(secret) && !error.contains(secret), "{}", invoked.log);
    }
    assert_eq!(sink.counts().stored(), 0);
}

fn queue_variables(server: &QueueServer, name: &'static str) -> Vec<(&'static str, String)> {
    vec![(name, server.queue_url()), ("AWS_ENDPOINT_URL_SQS", server.endpoint())]
}

#[tokio::test]
async fn telemetry_for_an_unreachable_backend_is_queued_for_retry() {
    let server = QueueServer::start(Queue::new("retry")).await.unwrap();
    let mut variables = queue_variables(&server, "LAMBDA_OTLP_RETRY_QUEUE_URL");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    variables.push(("LAMBDA_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}/api/default")));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let invoked = invoke("text-mixed", &variables).await;
    assert_eq!(invoked.attempts, 1, "the event has a place: {}", invoked.log);
    assert!(invoked.on_failure.is_none());
    let parked: Vec<serde_json::Value> =
        server.queue().bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let items: u64 = parked.iter().map(|message| message["items"].as_u64().unwrap()).sum();
    assert_eq!(items, 30 + 8 + 15);
    assert!(invoked.log.contains("queued for retry"), "{}", invoked.log);
    assert!(invoked.log.contains("connection refused"), "{}", invoked.log);
    assert!(invoked.log.contains("\"Parked\":53"), "the figures say it too: {}", invoked.log);
}

#[tokio::test]
async fn a_refusing_retry_queue_returns_the_event() {
    let queue = Queue::new("retry");
    queue
        .script(std::iter::repeat_n(simulator::queue::QueueResponse::refuse(403, "OverLimit"), 50));
    let server = QueueServer::start(queue).await.unwrap();
    let mut variables = queue_variables(&server, "LAMBDA_OTLP_RETRY_QUEUE_URL");
    let sink = sink().await;
    let headers = authorization("wr0ng-password");
    variables.push(("LAMBDA_OTLP_ENDPOINT", sink.base().to_owned()));
    variables.push(("LAMBDA_OTLP_HEADERS", headers));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let invoked = invoke("otlp-only", &variables).await;
    assert_eq!(invoked.attempts, 3, "{}", invoked.log);
    let error = invoked.error();
    assert!(error.contains("401 Unauthorized") && error.contains("OverLimit"), "{error}");
    assert!(server.queue().is_empty());
}

#[tokio::test]
async fn invalid_variables_are_all_reported_and_return_the_event() {
    let invoked = invoke(
        "otlp-only",
        &[
            ("LAMBDA_OTLP_ENDPOINT", "o2.example.com/api/default"),
            ("LAMBDA_OTLP_LOG_LEVEL", "loud"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten"),
        ],
    )
    .await;
    let error = invoked.error();
    for name in ["LAMBDA_OTLP_ENDPOINT", "LAMBDA_OTLP_LOG_LEVEL", "OTEL_EXPORTER_OTLP_TIMEOUT"] {
        assert!(error.contains(name), "{error}");
        assert!(invoked.log.contains(name), "{}", invoked.log);
    }
}
