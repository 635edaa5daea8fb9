//! The interceptor in a client of AWS's SDK, with a fake SQS endpoint.

use aws_sdk_sqs::config::{
    BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use lambda_otlp_exporter::testing::{Span, TestFunction, Written};
use lambda_otlp_exporter::{
    AwsSdkInterceptor, TelemetryConfig, TelemetryConfigBuilder, create_traced_handler,
};
use lambda_runtime::{Error, LambdaEvent};
use local_lambda::queue::{Queue, QueueResponse, QueueServer, ReceivedMessage};
use opentelemetry::trace::{SpanKind, Status};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tracing::Instrument as _;
use tracing::level_filters::LevelFilter;

/// A function that sends to a queue.
struct Function {
    test: TestFunction,
    server: QueueServer,
}

impl Function {
    async fn new() -> Self {
        Self::with(TelemetryConfig::builder()).await
    }

    async fn with(config: TelemetryConfigBuilder) -> Self {
        let server = QueueServer::start(Queue::new("orders")).await.unwrap();
        Self { test: TestFunction::new(config), server }
    }

    fn interceptor(&self) -> AwsSdkInterceptor {
        AwsSdkInterceptor::new().with_completion_handler(&self.test.completion_handler())
    }

    fn client(&self, interceptor: AwsSdkInterceptor) -> aws_sdk_sqs::Client {
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("key", "not-a-secret", None, None, "test"))
            .endpoint_url(self.server.endpoint())
            .retry_config(retries)
            .timeout_config(TimeoutConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .interceptor(interceptor)
            .build();
        aws_sdk_sqs::Client::from_conf(config)
    }

    /// Runs `handler` in an invocation.
    async fn invoke<Fut: Future<Output = ()> + Send + 'static>(
        &self,
        handler: impl Fn() -> Fut + Send + Sync + 'static,
    ) -> Written {
        let completion_handler = self.test.completion_handler();
        let handler =
            create_traced_handler("shop", completion_handler, move |_: LambdaEvent<Value>| {
                let running = handler();
                async move {
                    running.await;
                    Ok::<_, Error>(json!(null))
                }
            });
        handler(self.test.event(json!({}))).await.unwrap();
        self.test.take()
    }

    fn received(&self) -> Vec<ReceivedMessage> {
        self.server.queue().receive(10)
    }
}

fn traceparent(span: &Span) -> String {
    format!("00-{}-{}-01", span.trace_id, span.span_id)
}

fn attribute(message: &ReceivedMessage, name: &str) -> Option<String> {
    Some(message.attributes.get(name)?.get("StringValue")?.as_str()?.to_owned())
}

/// `key=value` lines, except for values that vary between runs.
fn shown(span: &Span) -> String {
    let changes = ["server.port", "aws.sqs.queue.url"];
    let own = span.attributes.iter().filter(|own| !changes.contains(&own.key.as_str()));
    let mut lines: Vec<String> = own.map(|own| format!("{}={}\n", own.key, own.value)).collect();
    lines.sort();
    lines.concat()
}

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

#[tokio::test]
async fn a_sent_message_carries_the_context_of_its_producer_span() {
    let function = Function::new().await;
    let (client, url) = (function.client(function.interceptor()), function.server.queue_url());
    let written = function
        .invoke(move || {
            let send = client.send_message().queue_url(&url).message_body("{\"order\": 7}");
            let send = send.message_attributes("tenant", text("a"));
            async move { drop(send.send().await.unwrap()) }
        })
        .await;
    let (span, root) = (written.span("SQS.SendMessage"), written.span("shop"));
    assert_eq!((&span.kind, span.parent_span_id), (&SpanKind::Producer, root.span_id));
    expect_test::expect![[r"
        http.response.status_code=200
        messaging.destination.name=orders
        messaging.operation.name=send
        messaging.operation.type=send
        messaging.system=aws_sqs
        rpc.method=SendMessage
        rpc.service=SQS
        rpc.system=aws-api
        server.address=127.0.0.1
    "]]
    .assert_eq(&shown(span));
    let received = function.received();
    assert_eq!(received[0].body, "{\"order\": 7}");
    assert_eq!(attribute(&received[0], "tenant").as_deref(), Some("a"));
    assert_eq!(attribute(&received[0], "traceparent").unwrap(), traceparent(span));
    assert_eq!(received[0].attributes.as_object().unwrap().len(), 2, "nothing that is empty");
}

#[tokio::test]
async fn each_batch_message_with_room_gets_the_context() {
    let function = Function::new().await;
    let (client, url) = (function.client(function.interceptor()), function.server.queue_url());
    let full: HashMap<_, _> = (0..10).map(|at| (format!("a{at}"), text("x"))).collect();
    let own = HashMap::from([("traceparent".to_owned(), text("of the application"))]);
    let written = function
        .invoke(move || {
            let of = |id: &str, attributes: Option<HashMap<_, _>>| {
                let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(id);
                entry.set_message_attributes(attributes).build().unwrap()
            };
            let entries =
                [of("none", None), of("full", Some(full.clone())), of("own", Some(own.clone()))];
            let send = client.send_message_batch().queue_url(&url);
            let send = send.set_entries(Some(entries.into()));
            async move { assert!(send.send().await.unwrap().failed().is_empty()) }
        })
        .await;
    let span = written.span("SQS.SendMessageBatch");
    assert!(shown(span).contains("messaging.batch.message_count=3"), "{}", shown(span));
    let received = function.received();
    let parents: Vec<_> = received.iter().map(|own| attribute(own, "traceparent")).collect();
    assert_eq!(parents, [Some(traceparent(span)), None, Some("of the application".to_owned())]);
    assert_eq!(received[1].attributes.as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn retries_are_counted_and_failures_have_only_a_code() {
    let function = Function::new().await;
    let queue = function.server.queue();
    queue.script([503, 500].map(|status| QueueResponse::refuse(status, "InternalError")));
    let (client, url) = (function.client(function.interceptor()), function.server.queue_url());
    let elsewhere = format!("{url}/other?X-Amz-Signature=s3cr3t");
    let written = function
        .invoke(move || {
            let send = client.send_message().queue_url(&url).message_body("a").send();
            let receive = client.receive_message().queue_url(&elsewhere).send();
            async move {
                drop(send.await.unwrap());
                drop(receive.await.unwrap_err());
            }
        })
        .await;
    let (sent, refused) = (written.span("SQS.SendMessage"), written.span("SQS.ReceiveMessage"));
    assert!(shown(sent).contains("http.request.resend_count=2"), "{}", shown(sent));
    assert_eq!(sent.status, Status::Unset);
    assert_eq!(refused.kind, SpanKind::Client);
    assert!(matches!(refused.status, Status::Error { .. }));
    let words = shown(refused);
    assert!(words.contains("error.type=AWS.SimpleQueueService.NonExistentQueue"), "{words}");
    assert!(words.contains("http.response.status_code=400"), "{words}");
    let everything = format!("{refused:?}");
    assert!(
        !everything.contains("does not exist") && !everything.contains("s3cr3t"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_cancelled_call_ends_its_span_as_an_error() {
    let function = Function::new().await;
    function.server.queue().script([QueueResponse::Hang]);
    let (client, url) = (function.client(function.interceptor()), function.server.queue_url());
    let written = function
        .invoke(move || {
            let send = client.send_message().queue_url(&url).message_body("a").send();
            async move {
                tokio::time::timeout(Duration::from_millis(50), send).await.unwrap_err();
            }
        })
        .await;
    let words = shown(written.span("SQS.SendMessage"));
    assert!(words.contains("error.type=cancelled"), "{words}");
}

#[tokio::test]
async fn oversized_and_opted_out_requests_are_left_unchanged() {
    let function = Function::new().await;
    let url = function.server.queue_url();
    let large = function.client(function.interceptor());
    let untouched = function.client(function.interceptor().with_context_in_requests(false));
    let written = function
        .invoke(move || {
            let long = "x".repeat(256 * 1024 - 100);
            let first = large.send_message().queue_url(&url).message_body(long).send();
            let second = untouched.send_message().queue_url(&url).message_body("b").send();
            async move {
                drop(first.await.unwrap());
                drop(second.await.unwrap());
            }
        })
        .await;
    assert!(written.spans.iter().any(|span| span.name == "SQS.SendMessage"));
    assert!(function.received().iter().all(|message| message.attributes.is_null()));
}

#[tokio::test]
async fn sdk_spans_never_separate_an_aws_call_from_its_parent() {
    let config = TelemetryConfig::builder().with_max_level(LevelFilter::TRACE);
    let function = Function::with(config).await;
    let (client, url) = (function.client(function.interceptor()), function.server.queue_url());
    let written = function
        .invoke(move || {
            let send = client.send_message().queue_url(&url).message_body("a").send();
            // This test's own crate has a name like AWS's.
            let own = tracing::debug_span!(target: "orders", "store");
            async move { drop(send.await.unwrap()) }.instrument(own)
        })
        .await;
    let names: Vec<_> = written.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["SQS.SendMessage", "store", "shop"]);
    let sent = written.span("SQS.SendMessage");
    assert_eq!(sent.parent_span_id, written.span("store").span_id);
    let received = function.received();
    assert_eq!(attribute(&received[0], "traceparent").unwrap(), traceparent(sent));
}
