//! The meaning of an SQS response, or of its absence, for a message.

use super::QueueError;
use super::address::QueueAddress;
use crate::client::{AwsResponse, NoResponse, excerpt};
use serde::Deserialize;

/// The retry decision: only requests that certainly failed, and may succeed soon, are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Yes,
    /// A permanent refusal, or an unknown result.
    No,
}

/// The result for each message of a batch (Amazon SQS API Reference, "SendMessageBatch").
#[derive(Deserialize)]
pub(super) struct SendBatchResponse {
    #[serde(rename = "Successful", default)]
    successful: Option<Vec<AcceptedMessage>>,
    #[serde(rename = "Failed", default)]
    failed: Option<Vec<RefusedEntry>>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RefusedEntry {
    id: String,
    code: String,
    message: Option<String>,
    #[serde(default)]
    sender_fault: bool,
}

impl SendBatchResponse {
    pub(super) fn read(
        queue: &QueueAddress,
        response: &AwsResponse,
    ) -> Result<Self, (QueueError, Repeat)> {
        serde_json::from_slice(&response.body).map_err(|_| without_result(queue, response.status))
    }

    pub(super) fn has_taken(&self, id: &str) -> bool {
        self.successful.iter().flatten().any(|entry| entry.id == id)
    }

    pub(super) fn refused(&self, id: &str) -> Option<&RefusedEntry> {
        self.failed.iter().flatten().find(|entry| entry.id == id)
    }
}

/// The meaning of an entry of `Failed`; `None` if the response does not mention the message.
pub(super) fn of_entry(
    queue: &QueueAddress,
    failed: Option<&RefusedEntry>,
) -> (QueueError, Repeat) {
    let Some(RefusedEntry { code, message, sender_fault, .. }) = failed else {
        return ambiguous(queue, "the answer does not name the message".to_owned());
    };
    let error = refused(queue, "SendMessage", code, message.as_deref().unwrap_or_default());
    let repeat = !sender_fault || is_throttling(code);
    (error, if repeat { Repeat::Yes } else { Repeat::No })
}

/// Returns the response if SQS carried out `action`, or else the meaning of its refusal.
pub(super) fn of_response(
    queue: &QueueAddress,
    action: &str,
    response: AwsResponse,
) -> Result<AwsResponse, (QueueError, Repeat)> {
    let status = response.status;
    if status == 200 {
        return Ok(response);
    }
    let refusal = response.refusal();
    let code = match refusal.code.as_str() {
        // Not SQS's own text: a proxy that timed out.
        "" if !(400..500).contains(&status) => return Err(without_result(queue, status)),
        "" => format!("status {status}"),
        code => code.to_owned(),
    };
    let repeat = status >= 500 || status == 429 || is_throttling(&code);
    // A batch needs the permission for one message.
    let permission = action.strip_suffix("Batch").unwrap_or(action);
    let error = refused(queue, permission, &code, &refusal.message);
    Err((error, if repeat { Repeat::Yes } else { Repeat::No }))
}

pub(super) fn of_no_response(queue: &QueueAddress, error: &NoResponse) -> (QueueError, Repeat) {
    match error {
        NoResponse::NotMade(problem) => (queue.refused("InvalidRequest", problem, ""), Repeat::No),
        NoResponse::Deadline { .. } => ambiguous(queue, "the deadline came first".to_owned()),
        error if error.may_have_arrived() => ambiguous(queue, excerpt(&error.to_string())),
        error => {
            let (queue, text) = (queue.name.clone(), excerpt(&error.to_string()));
            (QueueError::NoResponse { queue, text, ambiguous: false }, Repeat::Yes)
        }
    }
}

/// The meaning of a response that does not come from SQS or leaves the message's fate unknown.
fn without_result(queue: &QueueAddress, status: u16) -> (QueueError, Repeat) {
    ambiguous(queue, format!("answered {status} without the fate of the message"))
}

fn ambiguous(queue: &QueueAddress, text: String) -> (QueueError, Repeat) {
    (QueueError::NoResponse { queue: queue.name.clone(), text, ambiguous: true }, Repeat::No)
}

fn is_throttling(code: &str) -> bool {
    let code = without_service(code);
    code.contains("Throttl") || matches!(code, "SlowDown" | "RequestLimitExceeded" | "OverLimit")
}

/// `NonExistentQueue` of `AWS.SimpleQueueService.NonExistentQueue`
fn without_service(code: &str) -> &str {
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

fn refused(queue: &QueueAddress, permission: &str, code: &str, text: &str) -> QueueError {
    let code = without_service(code);
    let hint = match code {
        "NonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress" => format!(
            ": there is no queue {} of account {} in {}, check its URL",
            queue.name, queue.account, queue.region
        ),
        _ if code.starts_with("KMS.") || code.starts_with("Kms") => {
            ": the function's role needs kms:GenerateDataKey and kms:Decrypt on the queue's key, and the key must be enabled"
                .to_owned()
        }
        _ if code.starts_with("AccessDenied") || code == "InvalidSecurity" => {
            format!(": allow sqs:{permission} on {} in the function's role and the queue's policy", queue.arn())
        }
        "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId"
        | "UnrecognizedClientException" | "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            ": the credentials in the environment are not valid".to_owned()
        }
        "OverLimit" => ": too many messages of the queue are being received".to_owned(),
        _ => String::new(),
    };
    queue.refused(&excerpt(code), &excerpt(text), &hint)
}
