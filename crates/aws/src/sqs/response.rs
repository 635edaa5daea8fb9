//! The meaning of an SQS response, or of its absence, for a message.

use super::{QueueError, SqsSettings};
use crate::client::{AwsResponse, NoResponse, excerpt, is_throttling};
use serde::Deserialize;

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
struct RefusedEntry {
    id: String,
    code: String,
    message: Option<String>,
    #[serde(default)]
    sender_fault: bool,
}

impl SendBatchResponse {
    pub(super) fn read(queue: &SqsSettings, response: &AwsResponse) -> Result<Self, QueueError> {
        serde_json::from_slice(&response.body)
            .map_err(|_| without_fate(queue, &format!("status {}", response.status)))
    }

    /// Returns the result of the message with this id.
    pub(super) fn result(&self, queue: &SqsSettings, id: &str) -> Result<(), QueueError> {
        if self.successful.iter().flatten().any(|entry| entry.id == id) {
            return Ok(());
        }
        let failed = self.failed.iter().flatten().find(|entry| entry.id == id);
        let Some(RefusedEntry { code, message, sender_fault, .. }) = failed else {
            return Err(without_fate(queue, "it does not name the message"));
        };
        let text = refusal_text(queue, "SendMessage", code, message.as_deref().unwrap_or_default());
        let is_temporary = !sender_fault || is_throttling(code);
        Err(QueueError { text, is_ambiguous: false, is_temporary })
    }
}

/// Returns the response if SQS carried out `action`, or else the meaning of its refusal.
pub(super) fn check_response(
    queue: &SqsSettings,
    action: &str,
    response: AwsResponse,
) -> Result<AwsResponse, QueueError> {
    let status = response.status;
    if status == 200 {
        return Ok(response);
    }
    let refusal = response.refusal();
    let code = match refusal.code.as_str() {
        // Not SQS's own text: a proxy that timed out.
        "" if !(400..500).contains(&status) => {
            return Err(without_fate(queue, &format!("status {status}")));
        }
        "" => format!("status {status}"),
        code => code.to_owned(),
    };
    // A batch needs the permission for one message.
    let permission = action.strip_suffix("Batch").unwrap_or(action);
    let text = refusal_text(queue, permission, &code, &refusal.message);
    let is_temporary = status >= 500 || refusal.is_throttled;
    Err(QueueError { text, is_ambiguous: false, is_temporary })
}

pub(super) fn without_response(queue: &SqsSettings, error: &NoResponse) -> QueueError {
    let name = &queue.name;
    match error {
        NoResponse::NotMade(problem) => {
            QueueError::refused(format!("queue {name} was not called: {problem}"))
        }
        NoResponse::NotSent(text) | NoResponse::NoCredentials(text) => {
            QueueError::temporary(format!("queue {name} did not answer: {}", excerpt(text)))
        }
        NoResponse::Ambiguous(text) => {
            QueueError::ambiguous(format!("queue {name} did not answer: {}", excerpt(text)))
        }
        NoResponse::TooLong(text) => without_fate(queue, &excerpt(text)),
    }
}

/// The meaning of an answer that does not come from SQS or leaves the message's fate unknown.
fn without_fate(queue: &SqsSettings, answer: &str) -> QueueError {
    let name = &queue.name;
    QueueError::ambiguous(format!(
        "queue {name} answered without the fate of the message: {answer}"
    ))
}

fn refusal_text(queue: &SqsSettings, permission: &str, code: &str, text: &str) -> String {
    // `NonExistentQueue` of `AWS.SimpleQueueService.NonExistentQueue`
    let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
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
    let name = &queue.name;
    let code = excerpt(code);
    let text = excerpt(text);
    let separator = if text.is_empty() { "" } else { ": " };
    format!("queue {name} refused with {code}{separator}{text}{hint}")
}
