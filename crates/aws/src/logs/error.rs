//! Errors of CloudWatch Logs, and whether to retry.

use crate::client::{AwsResponse, excerpt};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    #[error("{request} was refused with {code}{}{}", described(text), hint(code, request))]
    Refused {
        request: String,
        /// AWS's code, `AccessDeniedException`; `status 502` if the response does not come from AWS.
        code: String,
        /// AWS's text, cut; may be empty.
        text: String,
    },
    /// There was no readable answer.
    #[error("{request} got no answer: {text}")]
    NoResponse { request: String, text: String },
    /// The deadline passed before the request, or before its next attempt.
    #[error("{}", late(request, cause.as_deref()))]
    Deadline {
        request: String,
        /// The temporary error of the last attempt; `None` if there was no attempt.
        cause: Option<Box<Self>>,
    },
}

impl LogsError {
    /// Returns `true` if the log group or the filter does not exist.
    pub fn is_gone(&self) -> bool {
        self.code() == Some("ResourceNotFoundException")
    }

    /// Returns `true` if the log group has the maximum number of filters (CloudWatch Logs API Reference,
    /// "PutSubscriptionFilter").
    pub fn is_full(&self) -> bool {
        self.code() == Some("LimitExceededException")
    }

    /// Returns `true` if the deadline passed, and a later request may succeed.
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

fn late(request: &str, cause: Option<&LogsError>) -> String {
    match cause {
        Some(cause) => format!("{cause}; the deadline has passed"),
        None => format!("{request} was not called: the deadline has passed"),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// A temporary error.
    AFewTimes,
    /// Throttling: the request will succeed at a lower rate.
    UntilTheDeadline,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'static str,
    /// A log group, or the prefix of several; may be empty.
    pub(super) subject: &'a str,
}

impl Asked<'_> {
    fn request(self) -> String {
        let Self { operation, subject } = self;
        if subject.is_empty() { operation.to_owned() } else { format!("{operation} of {subject}") }
    }

    pub(super) fn too_late(self, cause: Option<LogsError>) -> LogsError {
        LogsError::Deadline { request: self.request(), cause: cause.map(Box::new) }
    }

    pub(super) fn no_response(self, text: &str) -> LogsError {
        LogsError::NoResponse { request: self.request(), text: excerpt(text) }
    }

    pub(super) fn unreadable(self) -> LogsError {
        self.no_response("the answer has an unexpected form")
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

/// CloudWatch Logs API Reference, "Common errors"; "PutSubscriptionFilter" for a function or a stream whose permission has not
/// propagated, and `OperationAbortedException` for concurrent changes.
fn again(status: u16, code: &str, message: &str) -> Again {
    let is_throttling = ["Throttl", "TooManyRequests", "RequestLimitExceeded"];
    if status == 429 || is_throttling.iter().any(|throttling| code.contains(throttling)) {
        return Again::UntilTheDeadline;
    }
    let no_permission_yet = ["execute the lambda function", "deliver test message"];
    let is_permission_on_its_way = code == "InvalidParameterException"
        && no_permission_yet.iter().any(|problem| message.contains(problem));
    let passes = status >= 500 || code == "OperationAbortedException" || is_permission_on_its_way;
    if passes { Again::AFewTimes } else { Again::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_cloudwatch_logs_are_classified_for_retry() {
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
            r#"{"__type":"InvalidParameterException","message":"Could not deliver test message to specified Kinesis stream."}"#,
            Again::AFewTimes,
            "PutSubscriptionFilter of /g was refused with InvalidParameterException: Could not deliver test message to specified Kinesis stream.",
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
