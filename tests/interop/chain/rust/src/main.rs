//! A function that passes its event on, in the same way in which it came.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_lambda::primitives::Blob;
use aws_types::SdkConfig;
use lambda_otlp_exporter::propagation::{AwsSdkInterceptor, inject_json};
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;

const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:orders";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let completion_handler = init(TelemetryConfig::default());
    let clients = AwsClients::new()?;
    let handler = TracedHandler::new("chain", completion_handler, async |event| {
        clients.pass_on(event).await
    });
    lambda_runtime::run(handler).await
}

struct AwsClients {
    functions: aws_sdk_lambda::Client,
    queues: aws_sdk_sqs::Client,
    topics: aws_sdk_sns::Client,
    buses: aws_sdk_eventbridge::Client,
}

impl AwsClients {
    fn new() -> Result<Self, Error> {
        let credentials = Credentials::new("key", "not-a-secret", None, None, "chain");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-west-1"))
            .endpoint_url(std::env::var("AWS_ENDPOINT_URL")?)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let traced = AwsSdkInterceptor::new();
        let functions = aws_sdk_lambda::config::Builder::from(&sdk).interceptor(traced.clone());
        let queues = aws_sdk_sqs::config::Builder::from(&sdk).interceptor(traced.clone());
        let topics = aws_sdk_sns::config::Builder::from(&sdk).interceptor(traced.clone());
        let buses = aws_sdk_eventbridge::config::Builder::from(&sdk).interceptor(traced);
        Ok(Self {
            functions: aws_sdk_lambda::Client::from_conf(functions.build()),
            queues: aws_sdk_sqs::Client::from_conf(queues.build()),
            topics: aws_sdk_sns::Client::from_conf(topics.build()),
            buses: aws_sdk_eventbridge::Client::from_conf(buses.build()),
        })
    }

    async fn pass_on(&self, event: LambdaEvent<Value>) -> Result<(), Error> {
        let event = event.payload;
        let body = event.pointer("/Records/0/body").and_then(Value::as_str);
        if event.get("detail").is_some() {
            let entry = PutEventsRequestEntry::builder()
                .source("shop")
                .detail_type("order")
                .detail(inject_json(r#"{"order": 7}"#))
                .build();
            self.buses.put_events().entries(entry).send().await?;
        } else if let Some(body) = body {
            if body.contains("Notification") {
                self.topics.publish().topic_arn(TOPIC).message("order 7").send().await?;
            } else {
                self.queues.send_message().queue_url(QUEUE).message_body("order 7").send().await?;
            }
        } else {
            let payload = Blob::new(event.to_string());
            self.functions.invoke().function_name("next").payload(payload).send().await?;
        }
        Ok(())
    }
}
