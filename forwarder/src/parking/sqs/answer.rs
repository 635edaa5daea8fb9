//! What an answer of SQS, or its absence, means for a message.

use super::target::Target;
use crate::parking::QueueError;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::BatchResultErrorEntry;
use std::error::Error;

/// Whether the same request may be answered differently in a moment, and cannot have been obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Refused for now.
    Yes,
    /// Refused for good, or nobody knows what became of it.
    No,
}

/// What an entry of `Failed` means; `None` where the answer does not name the message at all.
pub(super) fn of_entry(
    target: &Target,
    failed: Option<&BatchResultErrorEntry>,
) -> (QueueError, Repeat) {
    let Some(failed) = failed else {
        let text = "the answer does not name the message".to_owned();
        let queue = target.name.clone();
        return (QueueError::NoAnswer { queue, text, ambiguous: true }, Repeat::No);
    };
    let error = refused(target, "SendMessage", failed.code(), failed.message().unwrap_or_default());
    let repeat = !failed.sender_fault() || is_throttling(failed.code());
    (error, if repeat { Repeat::Yes } else { Repeat::No })
}

/// What an error of the SDK means for a request that asked for `action`.
pub(super) fn of_error<E, R>(
    target: &Target,
    action: &str,
    error: &SdkError<E, R>,
) -> (QueueError, Repeat)
where
    E: ProvideErrorMetadata + Error + 'static,
    R: HttpStatus + std::fmt::Debug,
{
    let no_answer = |text: String, ambiguous| QueueError::NoAnswer {
        queue: target.name.clone(),
        text: excerpt(&text),
        ambiguous,
    };
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().http_status();
            let code = match service.err().code() {
                Some(code) => code.to_owned(),
                // Not SQS's own words: a success that cannot be read, or a proxy that stopped waiting.
                None if !(400..500).contains(&status) => {
                    let text = format!("answered {status} without saying what became of it");
                    return (no_answer(text, true), Repeat::No);
                }
                None => format!("status {status}"),
            };
            let text = service.err().message().unwrap_or_default();
            let repeat = status >= 500 || status == 429 || is_throttling(&code);
            let error = refused(target, action, &code, text);
            (error, if repeat { Repeat::Yes } else { Repeat::No })
        }
        SdkError::ConstructionFailure(_) => {
            (target.refused("InvalidRequest", &chain(error), ""), Repeat::No)
        }
        SdkError::DispatchFailure(_) => {
            let text = chain(error);
            let is_connect = was_not_connected(&text);
            let repeat = if is_connect { Repeat::Yes } else { Repeat::No };
            (no_answer(text, !is_connect), repeat)
        }
        _ => (no_answer(chain(error), true), Repeat::No),
    }
}

/// The status of an HTTP answer.
pub(super) trait HttpStatus {
    fn http_status(&self) -> u16;
}

impl HttpStatus for aws_sdk_sqs::config::http::HttpResponse {
    fn http_status(&self) -> u16 {
        self.status().as_u16()
    }
}

/// How hyper-util and the SDK's connector word a connection that did not come to be; then nothing was sent. An error that
/// is worded otherwise counts as ambiguous, which is the safe side.
fn was_not_connected(chain: &str) -> bool {
    chain.contains("client error (Connect)") || chain.contains("HTTP connect timeout")
}

fn is_throttling(code: &str) -> bool {
    let code = without_service(code);
    code.contains("Throttl") || matches!(code, "SlowDown" | "RequestLimitExceeded" | "OverLimit")
}

/// `NonExistentQueue` of `AWS.SimpleQueueService.NonExistentQueue`
fn without_service(code: &str) -> &str {
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

fn refused(target: &Target, action: &str, code: &str, text: &str) -> QueueError {
    let code = without_service(code);
    let hint = match code {
        "NonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress" => format!(
            ": there is no queue {} of account {} in {}, check its URL",
            target.name, target.account, target.region
        ),
        _ if code.starts_with("KMS.") || code.starts_with("Kms") => {
            ": the function's role needs kms:GenerateDataKey and kms:Decrypt on the queue's key, and the key must be enabled"
                .to_owned()
        }
        _ if code.starts_with("AccessDenied") || code == "InvalidSecurity" => {
            format!(": allow sqs:{action} on {} in the function's role and the queue's policy", target.arn())
        }
        "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId"
        | "UnrecognizedClientException" | "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            ": the credentials in the environment are not valid".to_owned()
        }
        "OverLimit" => ": too many messages of the queue are being received".to_owned(),
        _ => String::new(),
    };
    target.refused(&excerpt(code), &excerpt(text), &hint)
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

fn excerpt(text: &str) -> String {
    const MOST_CHARS: usize = 300;
    let is_long = text.chars().nth(MOST_CHARS).is_some();
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let head: String = line.take(MOST_CHARS).collect();
    if is_long { format!("{head}…") } else { head }
}
