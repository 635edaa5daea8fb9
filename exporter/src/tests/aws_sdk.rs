//! The interceptor in a client of AWS's SDK, with a fake SQS endpoint.

use super::driver::{Function, Written, attribute, shown, status};
use crate::propagation::AwsSdkInterceptor;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use local_lambda::queue::{Queue, QueueResponse, QueueServer, ReceivedMessage};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::HashMap;
use std::time::Duration;
use tracing::Instrument as _;
use tracing::level_filters::LevelFilter;
use wire::ids::to_hex;

/// A function that sends to a queue.
struct Sender {
    function: Function,
    server: QueueServer,
    client: aws_sdk_sqs::Client,
}

impl Sender {
    async fn new() -> Self {
        Self::with(Function::new(), |interceptor| interceptor).await
    }

    async fn with(
        function: Function,
        change: impl FnOnce(AwsSdkInterceptor) -> AwsSdkInterceptor,
    ) -> Self {
        let server = QueueServer::start(Queue::new("orders")).await.unwrap();
        let interceptor = AwsSdkInterceptor::new().with_completion_handler(&function.completion);
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("key", "not-a-secret", None, None, "test"))
            .endpoint_url(server.endpoint())
            .retry_config(retries)
            .timeout_config(TimeoutConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .interceptor(change(interceptor))
            .build();
        Self { function, server, client: aws_sdk_sqs::Client::from_conf(config) }
    }

    /// A message to the queue.
    fn send(
        &self,
        body: &str,
    ) -> aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder {
        self.client.send_message().queue_url(self.server.queue_url()).message_body(body)
    }

    /// Makes a call within a span.
    async fn call(&self, call: impl Future<Output = ()>) -> Written {
        // This test's own crate has a name like AWS's.
        call.instrument(tracing::info_span!(target: "orders", "shop")).await;
        self.function.completion.complete();
        self.function.written()
    }

    fn received(&self) -> Vec<ReceivedMessage> {
        self.server.queue().receive(10)
    }
}

fn traceparent(span: &Span) -> String {
    format!("00-{}-{}-01", to_hex(&span.trace_id), to_hex(&span.span_id))
}

fn text_of(message: &ReceivedMessage, name: &str) -> Option<String> {
    Some(message.attributes.get(name)?.get("StringValue")?.as_str()?.to_owned())
}

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

/// The SDK's own spans are left out even with the most verbose level, and never separate a call from its parent.
#[tokio::test]
async fn a_sent_message_carries_the_context_of_its_producer_span() {
    let function = Function::with(&[], |config| config.with_max_level(LevelFilter::TRACE));
    let sender = Sender::with(function, |interceptor| interceptor).await;
    let send = sender.send("{\"order\": 7}").message_attributes("tenant", text("a")).send();
    let written = Box::pin(sender.call(async { drop(send.await.unwrap()) })).await;
    assert_eq!(written.span_names(), ["SQS.SendMessage", "shop"]);
    let span = written.span_named("SQS.SendMessage");
    let parent = written.span_named("shop");
    assert_eq!((span.kind(), &span.parent_span_id), (SpanKind::Producer, &parent.span_id));
    let varies =
        |line: &&str| line.starts_with("server.port") || line.starts_with("aws.sqs.queue.url");
    let all = shown(&span.attributes);
    let attributes: String = all.split_inclusive('\n').filter(|line| !varies(line)).collect();
    expect_test::expect![[r#"
        http.response.status_code=200
        messaging.destination.name="orders"
        messaging.operation.name="send"
        messaging.operation.type="send"
        messaging.system="aws_sqs"
        rpc.method="SendMessage"
        rpc.service="SQS"
        rpc.system="aws-api"
        server.address="127.0.0.1"
    "#]]
    .assert_eq(&attributes);
    let received = sender.received();
    assert_eq!(received[0].body, "{\"order\": 7}");
    assert_eq!(text_of(&received[0], "tenant").as_deref(), Some("a"));
    assert_eq!(text_of(&received[0], "traceparent").unwrap(), traceparent(span));
    assert_eq!(received[0].attributes.as_object().unwrap().len(), 2, "nothing that is empty");
}

#[tokio::test]
async fn each_batch_message_with_room_gets_the_context() {
    let sender = Sender::new().await;
    let full: HashMap<_, _> = (0..10).map(|at| (format!("a{at}"), text("x"))).collect();
    let own = HashMap::from([("traceparent".to_owned(), text("of the application"))]);
    let of = |id: &str, attributes: Option<HashMap<_, _>>| {
        let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(id);
        entry.set_message_attributes(attributes).build().unwrap()
    };
    let entries = vec![of("none", None), of("full", Some(full)), of("own", Some(own))];
    let send = sender
        .client
        .send_message_batch()
        .queue_url(sender.server.queue_url())
        .set_entries(Some(entries))
        .send();
    let written =
        Box::pin(sender.call(async { assert!(send.await.unwrap().failed().is_empty()) })).await;
    let span = written.span_named("SQS.SendMessageBatch");
    assert_eq!(attribute(span, "messaging.batch.message_count").as_deref(), Some("3"));
    let received = sender.received();
    let parents: Vec<_> = received.iter().map(|own| text_of(own, "traceparent")).collect();
    assert_eq!(parents, [Some(traceparent(span)), None, Some("of the application".to_owned())]);
    assert_eq!(received[1].attributes.as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn retries_are_counted_and_failures_have_only_a_code() {
    let sender = Sender::new().await;
    let refused = [503, 500].map(|status| QueueResponse::refuse(status, "InternalError"));
    sender.server.queue().script(refused);
    let send = sender.send("a").send();
    let other_queue = format!("{}/other?X-Amz-Signature=s3cr3t", sender.server.queue_url());
    let receive = sender.client.receive_message().queue_url(other_queue).send();
    let calls = async {
        drop(send.await.unwrap());
        drop(receive.await.unwrap_err());
    };
    let written = Box::pin(sender.call(calls)).await;
    let accepted = written.span_named("SQS.SendMessage");
    let failed = written.span_named("SQS.ReceiveMessage");
    assert_eq!(attribute(accepted, "http.request.resend_count").as_deref(), Some("2"));
    assert_eq!((status(accepted).as_str(), failed.kind()), ("unset", SpanKind::Client));
    let code = "AWS.SimpleQueueService.NonExistentQueue";
    assert_eq!(status(failed), format!("error: {code}"));
    assert_eq!(attribute(failed, "error.type"), Some(format!("{code:?}")));
    assert_eq!(attribute(failed, "http.response.status_code").as_deref(), Some("400"));
    let everything = format!("{failed:?}");
    assert!(
        !everything.contains("does not exist") && !everything.contains("s3cr3t"),
        "{everything}"
    );
}

#[tokio::test]
async fn a_cancelled_call_ends_its_span_as_an_error() {
    let sender = Sender::new().await;
    sender.server.queue().script([QueueResponse::Hang]);
    let send = tokio::time::timeout(Duration::from_millis(50), sender.send("a").send());
    let written = Box::pin(sender.call(async { assert!(send.await.is_err()) })).await;
    let error_type = attribute(written.span_named("SQS.SendMessage"), "error.type");
    assert_eq!(error_type.as_deref(), Some("\"cancelled\""));
}

#[tokio::test]
async fn oversized_and_opted_out_requests_are_left_unchanged() {
    for (injects, body) in [(true, "x".repeat(256 * 1024 - 100)), (false, "b".to_owned())] {
        let opt_out = |own: AwsSdkInterceptor| own.with_context_in_requests(injects);
        let sender = Sender::with(Function::new(), opt_out).await;
        let send = sender.send(&body).send();
        let written = Box::pin(sender.call(async { drop(send.await.unwrap()) })).await;
        assert_eq!(written.span_names(), ["SQS.SendMessage", "shop"]);
        assert!(sender.received()[0].attributes.is_null());
    }
}
