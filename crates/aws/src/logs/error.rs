//! Why CloudWatch Logs did not do what it was asked, and whether to ask again.

use crate::client::{AwsResponse, excerpt};

/// Why CloudWatch Logs did not do what it was asked, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// It refused.
    #[error("{request} was refused with {code}{}{}", described(text), hint(code, request))]
    Refused {
        /// The operation, and the log group.
        request: String,
        /// AWS's code, `AccessDeniedException`; `status 502` where the response is not AWS's own.
        code: String,
        /// AWS's words, cut; may be empty.
        text: String,
    },
    /// It gave no answer that can be read.
    #[error("{request} got no answer: {text}")]
    NoResponse {
        /// The operation, and the log group.
        request: String,
        /// What happened.
        text: String,
    },
    /// The deadline had come before it was asked.
    #[error("{request} was not asked for: time was up")]
    Deadline {
        /// The operation, and the log group.
        request: String,
    },
}

impl LogsError {
    /// Whether the log group, or the filter, is not there.
    pub fn is_gone(&self) -> bool {
        self.code() == Some("ResourceNotFoundException")
    }

    /// Whether the log group has as many filters as it takes (CloudWatch Logs API Reference, "PutSubscriptionFilter").
    pub fn is_full(&self) -> bool {
        self.code() == Some("LimitExceededException")
    }

    /// Whether time was up before it was asked.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Deadline { .. })
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

fn described(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn hint(code: &str, request: &str) -> String {
    let operation = request.split(' ').next().unwrap_or_default();
    match code {
        "AccessDeniedException" => format!("; allow logs:{operation}"),
        _ => String::new(),
    }
}

/// Whether a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// It failed for now.
    AFewTimes,
    /// It is one of too many: AWS does it as soon as there are fewer.
    UntilTheDeadline,
}

/// An operation, and on what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'static str,
    /// A log group, or how the names of several begin; may be empty.
    pub(super) subject: &'a str,
}

impl Asked<'_> {
    fn request(self) -> String {
        let Self { operation, subject } = self;
        if subject.is_empty() { operation.to_owned() } else { format!("{operation} of {subject}") }
    }

    pub(super) fn too_late(self) -> LogsError {
        LogsError::Deadline { request: self.request() }
    }

    pub(super) fn no_response(self, text: &str) -> LogsError {
        LogsError::NoResponse { request: self.request(), text: excerpt(text) }
    }

    pub(super) fn unreadable(self) -> LogsError {
        self.no_response("what came is not what this operation answers")
    }

    pub(super) fn refused(self, response: &AwsResponse) -> (LogsError, Again) {
        let status = response.status;
        let refusal = response.refusal();
        let again = again(status, &refusal.code, &refusal.message);
        let code = if refusal.code.is_empty() { format!("status {status}") } else { refusal.code };
        let text = excerpt(&refusal.message);
        (LogsError::Refused { request: self.request(), code, text }, again)
    }
}

/// CloudWatch Logs API Reference, "Common errors"; "PutSubscriptionFilter" for a function that the permission to invoke has not
/// reached yet, and `OperationAbortedException` for two changes at a time.
fn again(status: u16, code: &str, message: &str) -> Again {
    let is_throttling = ["Throttl", "TooManyRequests", "RequestLimitExceeded"];
    if status == 429 || is_throttling.iter().any(|throttling| code.contains(throttling)) {
        return Again::UntilTheDeadline;
    }
    let is_permission_on_its_way =
        code == "InvalidParameterException" && message.contains("execute the lambda function");
    let passes = status >= 500 || code == "OperationAbortedException" || is_permission_on_its_way;
    if passes { Again::AFewTimes } else { Again::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_again() {
        let check = |status, body: &str, expected: Again, words: &str| {
            let asked = Asked { operation: "PutSubscriptionFilter", subject: "/g" };
            let (error, again) = asked.refused(&AwsResponse { status, body: body.into() });
            assert_eq!((again, error.to_string()), (expected, words.to_owned()), "{body}");
        };
        check(
            400,
            r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
            Again::UntilTheDeadline,
            "PutSubscriptionFilter of /g was refused with ThrottlingException: Rate exceeded",
        );
        check(
            429,
            "slow down",
            Again::UntilTheDeadline,
            "PutSubscriptionFilter of /g was refused with status 429",
        );
        check(
            503,
            r#"{"__type":"ServiceUnavailableException"}"#,
            Again::AFewTimes,
            "PutSubscriptionFilter of /g was refused with ServiceUnavailableException",
        );
        check(
            400,
            r#"{"__type":"InvalidParameterException","message":"Could not execute the lambda function."}"#,
            Again::AFewTimes,
            "PutSubscriptionFilter of /g was refused with InvalidParameterException: Could not execute the lambda function.",
        );
        check(
            400,
            r#"{"__type":"AccessDeniedException","message":"not you"}"#,
            Again::No,
            "PutSubscriptionFilter of /g was refused with AccessDeniedException: not you; allow logs:PutSubscriptionFilter",
        );
        check(
            400,
            r#"{"__type":"LimitExceededException"}"#,
            Again::No,
            "PutSubscriptionFilter of /g was refused with LimitExceededException",
        );
    }
}
