//! The real forwarder as a process in a local Lambda, with a healthy, failing or missing backend.

use base64::Engine as _;
use lambda_otlp_tests::{binary, fixture};
use local_lambda::queue::{Queue, QueueResponse, QueueServer};
use local_lambda::{FunctionSpec, Lambda, OnFailureRecord};
use std::time::Duration;
use test_support::openobserve::FakeOpenObserve;

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

async fn fake() -> FakeOpenObserve {
    FakeOpenObserve::builder().user(USER, PASSWORD).no_window().start().await.unwrap()
}

#[tokio::test]
async fn an_event_without_a_place_is_returned_and_no_secret_is_logged() {
    let queue = Queue::new("retry");
    queue.script(std::iter::repeat_n(QueueResponse::refuse(403, "OverLimit"), 50));
    let server = QueueServer::start(queue).await.unwrap();
    let fake = fake().await;
    let headers = authorization("wr0ng-password");
    let invoked = invoke(
        "otlp-only",
        &[
            ("LAMBDA_OTLP_ENDPOINT", fake.base()),
            ("LAMBDA_OTLP_HEADERS", &headers),
            ("LAMBDA_OTLP_RETRY_QUEUE_URL", &server.queue_url()),
            ("AWS_ENDPOINT_URL_SQS", &server.endpoint()),
        ],
    )
    .await;
    assert_eq!(invoked.attempts, 3, "Lambda tries an asynchronous event three times");
    let error = invoked.error();
    for part in ["530 of 530 items were not delivered", "401 Unauthorized", "OverLimit"] {
        assert!(error.contains(part), "{error}");
    }
    for secret in ["wr0ng-password", headers.rsplit(' ').next().unwrap()] {
        assert!(!invoked.log.contains(secret) && !error.contains(secret), "{}", invoked.log);
    }
    assert!(server.queue().is_empty() && fake.counts().stored() == 0);
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
