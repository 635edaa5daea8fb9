//! SQS's API, as far as the commands use it (Amazon SQS API Reference).

use super::{LONGEST, read_json};
use ::aws::{Api, ApiError, ApiRequest, AwsResponse, PathEncoding, Service};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const SQS: Service = Service {
    name: "sqs",
    path_encoding: PathEncoding::Twice,
    // Ten messages have at most 1 MiB, up to six times as many in JSON.
    max_response_bytes: 16 << 20,
    read_error: AwsResponse::refusal,
    is_temporary: |_| false,
};

/// A client of one queue.
#[derive(Debug)]
pub(crate) struct Queue {
    api: Api,
    url: String,
}

/// A received message.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ReceivedMessage {
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MessagesAnswer {
    messages: Vec<ReceivedMessage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AttributesAnswer {
    attributes: BTreeMap<String, String>,
}

/// The answer to a message that the queue has.
#[derive(Debug, Deserialize)]
struct SentAnswer {
    #[serde(rename = "MessageId")]
    _id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct QueuesAnswer {
    #[serde(rename = "queueUrls")]
    urls: Vec<String>,
}

impl Queue {
    pub(super) fn new(api: Api, url: &str) -> Self {
        Self { api, url: url.to_owned() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Attributes by name: `ApproximateNumberOfMessages`.
    pub(crate) async fn attributes(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, String>, ApiError> {
        let request = self.request("GetQueueAttributes", json!({ "AttributeNames": names }));
        let answer: AttributesAnswer = read_json(&self.send(&request).await?)?;
        Ok(answer.attributes)
    }

    /// The URLs of queues whose dead-letter queue this one is, at most one page.
    pub(crate) async fn sources(&self) -> Result<Vec<String>, ApiError> {
        let request = self.request("ListDeadLetterSourceQueues", json!({}));
        let answer: QueuesAnswer = read_json(&self.send(&request).await?)?;
        Ok(answer.urls)
    }

    /// Receives up to ten messages after waiting for at most `wait`, and hides them for `hidden_for`.
    pub(crate) async fn receive(
        &self,
        wait: Duration,
        hidden_for: Duration,
    ) -> Result<Vec<ReceivedMessage>, ApiError> {
        let members = json!({
            "MaxNumberOfMessages": 10,
            "VisibilityTimeout": hidden_for.as_secs(),
            "WaitTimeSeconds": wait.as_secs(),
        });
        let request = self.request("ReceiveMessage", members);
        let answer: MessagesAnswer = read_json(&self.send(&request).await?)?;
        Ok(answer.messages)
    }

    pub(crate) async fn delete(&self, receipt: &str) -> Result<(), ApiError> {
        let request = self.request("DeleteMessage", json!({ "ReceiptHandle": receipt }));
        self.send(&request).await.map(drop)
    }

    /// Makes a received message visible to other readers.
    pub(crate) async fn release(&self, receipt: &str) -> Result<(), ApiError> {
        let members = json!({ "ReceiptHandle": receipt, "VisibilityTimeout": 0 });
        self.send(&self.request("ChangeMessageVisibility", members)).await.map(drop)
    }

    /// Sends a message once, because a repeated request could store it twice. An answer that breaks off confirms nothing.
    pub(crate) async fn put_once(&self, body: &str, longest: Duration) -> Result<(), ApiError> {
        let request = self.request("SendMessage", json!({ "MessageBody": body }));
        let answer = self.api.send_once(&request, Instant::now() + longest).await?;
        read_json::<SentAnswer>(&answer).map(drop)
    }

    fn request(&self, operation: &str, mut members: Value) -> ApiRequest {
        if let Some(members) = members.as_object_mut() {
            members.insert("QueueUrl".to_owned(), self.url.as_str().into());
        }
        ApiRequest::new_json("1.0", format!("AmazonSQS.{operation}"), &members)
    }

    async fn send(&self, request: &ApiRequest) -> Result<AwsResponse, ApiError> {
        self.api.send(request, Instant::now() + LONGEST).await
    }
}
