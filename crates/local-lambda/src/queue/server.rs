//! Serves a queue as SQS does: AWS JSON 1.0 over HTTP (Amazon SQS Developer Guide, "Making requests with AWS JSON").

use super::{BatchResult, PostponeResult, Queue, Refusal, SentMessage};
use crate::Error;
use crate::api::server::{self, Answer};
use crate::http_server::HttpServer;
use crate::lock;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// AWS takes 1 MiB of messages; names and quotes come on top.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRequest {
    /// The action: `SendMessageBatch`.
    pub action: String,
    /// The `Authorization` header.
    pub authorization: String,
    /// The `X-Amz-Security-Token` header.
    pub security_token: Option<String>,
    /// Entries of a batch, else 1.
    pub entries: usize,
    pub bytes: usize,
}

/// An SQS endpoint on the loopback interface with one queue. Signatures are recorded, not checked.
#[derive(Debug)]
pub struct QueueServer {
    queue: Queue,
    server: HttpServer,
    requests: Arc<Mutex<Vec<QueueRequest>>>,
}

impl QueueServer {
    /// Serves `queue` until it is dropped.
    pub async fn start(queue: Queue) -> Result<Self, Error> {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let same_queue = queue.clone();
        let recorded = Arc::clone(&requests);
        let handle = move |request| answer(same_queue.clone(), Arc::clone(&recorded), request);
        let server = HttpServer::start(handle).await.map_err(Error::Listen)?;
        Ok(Self { queue, server, requests })
    }

    /// The endpoint, for `AWS_ENDPOINT_URL_SQS`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub fn queue_url(&self) -> String {
        format!("{}/123456789012/{}", self.endpoint(), self.queue.name())
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    pub fn requests(&self) -> Vec<QueueRequest> {
        lock(&self.requests).clone()
    }
}

async fn answer(
    queue: Queue,
    requests: Arc<Mutex<Vec<QueueRequest>>>,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(collected) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
        return refusal(&Refusal::new(413, "RequestEntityTooLarge", "too large"));
    };
    let bytes = collected.to_bytes();
    let header = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    let target = header("x-amz-target").unwrap_or_default();
    let action = target.strip_prefix("AmazonSQS.").unwrap_or_default().to_owned();
    let Ok(arguments) = serde_json::from_slice::<Value>(&bytes) else {
        return refusal(&Refusal::new(400, "MalformedInput", "not JSON"));
    };
    let entries = arguments.get("Entries").and_then(Value::as_array).map_or(1, Vec::len);
    lock(&requests).push(QueueRequest {
        action: action.clone(),
        authorization: header("authorization").unwrap_or_default(),
        security_token: header("x-amz-security-token"),
        entries,
        bytes: bytes.len(),
    });
    let url = arguments.get("QueueUrl").and_then(Value::as_str).unwrap_or_default();
    if url.rsplit('/').next() != Some(queue.name()) {
        let code = "AWS.SimpleQueueService.NonExistentQueue";
        return refusal(&Refusal::new(400, code, "The specified queue does not exist."));
    }
    match action.as_str() {
        "SendMessageBatch" => {
            let entries = arguments.get("Entries").and_then(Value::as_array);
            let batch = entries.map_or(&[][..], Vec::as_slice);
            send(&queue, batch, |results| batch_sent(batch, results)).await
        }
        "SendMessage" => send(&queue, std::slice::from_ref(&arguments), sent).await,
        "ReceiveMessage" => receive(&queue, &arguments),
        "ChangeMessageVisibility" => {
            let delay = seconds(arguments.get("VisibilityTimeout"));
            postponed(queue.postpone(receipt(&arguments), delay)).await
        }
        "DeleteMessage" => match queue.delete(receipt(&arguments)) {
            Ok(()) => ok(&json!({})),
            Err(refused) => refusal(&refused),
        },
        _ => refusal(&Refusal::new(400, "UnsupportedOperation", "not simulated")),
    }
}

/// Reads an entry of a request.
fn message(entry: &Value) -> SentMessage {
    let body = entry.get("MessageBody").and_then(Value::as_str).unwrap_or_default();
    let attributes = entry.get("MessageAttributes").cloned().unwrap_or_default();
    SentMessage { body: body.to_owned(), attributes }
}

/// Sends messages, and answers with the description of their results.
async fn send(
    queue: &Queue,
    entries: &[Value],
    describe: impl FnOnce(Vec<Result<String, Refusal>>) -> Answer,
) -> Answer {
    let messages: Vec<_> = entries.iter().map(message).collect();
    let delay = seconds(entries.first().and_then(|entry| entry.get("DelaySeconds")));
    match queue.send_messages(&messages, delay) {
        BatchResult::Refused(refused) => refusal(&refused),
        BatchResult::NoAnswer => cut_off("{\"Successful\":["),
        BatchResult::Hangs => std::future::pending().await,
        BatchResult::Answered(results) => describe(results),
    }
}

fn sent(results: Vec<Result<String, Refusal>>) -> Answer {
    match results.into_iter().next() {
        Some(Ok(id)) => ok(&json!({ "MessageId": id, "MD5OfMessageBody": "" })),
        Some(Err(refused)) => refusal(&refused),
        None => ok(&json!({})),
    }
}

fn batch_sent(entries: &[Value], results: Vec<Result<String, Refusal>>) -> Answer {
    let mut successful = Vec::new();
    let mut failed = Vec::new();
    for (entry, result) in entries.iter().zip(results) {
        let id = entry.get("Id").cloned().unwrap_or_default();
        match result {
            Ok(message_id) => successful.push(json!({
                "Id": id, "MessageId": message_id, "MD5OfMessageBody": "",
            })),
            Err(refused) => failed.push(json!({
                "Id": id, "Code": refused.code, "Message": refused.message,
                "SenderFault": refused.status < 500,
            })),
        }
    }
    ok(&json!({ "Successful": successful, "Failed": failed }))
}

fn receive(queue: &Queue, arguments: &Value) -> Answer {
    let most = arguments.get("MaxNumberOfMessages").and_then(Value::as_u64).unwrap_or(1);
    let received = queue.receive(usize::try_from(most).unwrap_or(usize::MAX));
    let message = |message: &super::ReceivedMessage| {
        json!({
            "MessageId": message.message_id,
            "ReceiptHandle": message.receipt_handle,
            "Body": message.body,
            "MessageAttributes": message.attributes,
            "Attributes": {
                "ApproximateReceiveCount": message.receive_count.to_string(),
                "SentTimestamp": message.sent_ms.to_string(),
            },
        })
    };
    ok(&json!({ "Messages": received.iter().map(message).collect::<Vec<_>>() }))
}

async fn postponed(result: PostponeResult) -> Answer {
    match result {
        PostponeResult::Postponed => ok(&json!({})),
        PostponeResult::Refused(refused) => refusal(&refused),
        PostponeResult::NoAnswer => cut_off("{"),
        PostponeResult::Hangs => std::future::pending().await,
    }
}

/// Returns an answer whose JSON breaks off, after which the connection is closed.
fn cut_off(json: &str) -> Answer {
    server::with(response(StatusCode::OK, json.to_owned()), "connection", "close")
}

fn receipt(arguments: &Value) -> &str {
    arguments.get("ReceiptHandle").and_then(Value::as_str).unwrap_or_default()
}

fn seconds(value: Option<&Value>) -> Duration {
    Duration::from_secs(value.and_then(Value::as_u64).unwrap_or_default())
}

fn ok(body: &Value) -> Answer {
    response(StatusCode::OK, body.to_string())
}

fn refusal(refused: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
    let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
    if refused.code.is_empty() {
        // The answer of a proxy, which has no error code of AWS.
        return response(status, String::new());
    }
    let body = json!({ "__type": refused.code, "message": refused.message });
    let error = format!("{};{fault}", refused.code);
    server::with(response(status, body.to_string()), "x-amzn-query-error", &error)
}

fn response(status: StatusCode, body: String) -> Answer {
    server::with(server::json(status, body), "content-type", "application/x-amz-json-1.0")
}
