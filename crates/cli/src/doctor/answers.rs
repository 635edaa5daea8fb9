//! Answers of AWS, or the checks in their place.

use crate::aws::{explain, is_denied};
use aws_sdk_cloudwatchlogs::error::SdkError;
use settings::Check;
use std::error::Error;

/// The code of AWS's errors about what does not exist.
pub(super) const MISSING: &str = "ResourceNotFoundException";

/// Returns the answer of AWS, or adds a check that names the error.
pub(super) fn answered<T, E: Error + Send + Sync + 'static>(
    checks: &mut Vec<Check>,
    name: &'static str,
    what: &str,
    permission: &str,
    result: Result<T, SdkError<E>>,
) -> Option<T> {
    result.map_err(|error| checks.push(unanswered(name, what, permission, &error))).ok()
}

/// The check of `what` after a failed request to AWS. A missing permission is a warning that names the permission.
pub(super) fn unanswered<E: Error + Send + Sync + 'static>(
    name: &'static str,
    what: &str,
    permission: &str,
    error: &SdkError<E>,
) -> Check {
    not_read(name, what, permission, &explain(error))
}

/// Like [`answered`], for an error that is explained already.
pub(super) fn answered_explained<T>(
    checks: &mut Vec<Check>,
    name: &'static str,
    what: &str,
    permission: &str,
    result: anyhow::Result<T>,
) -> Option<T> {
    result.map_err(|error| checks.push(not_read(name, what, permission, &error))).ok()
}

fn not_read(name: &'static str, what: &str, permission: &str, why: &anyhow::Error) -> Check {
    if is_denied(why) {
        let text = format!("{what}: not checked: these credentials lack {permission}");
        Check::warning(name, text)
    } else {
        Check::failed(name, format!("{what}: {why:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::operation::get_policy::GetPolicyError;
    use settings::Verdict;

    #[test]
    fn a_missing_permission_is_only_a_warning() {
        let check = |error: &str| {
            unanswered(
                "queue",
                "the stack",
                "sqs:GetQueueAttributes",
                &SdkError::<GetPolicyError>::construction_failure(error),
            )
        };
        let denied = check("AccessDenied: User x is not authorized to perform: y");
        assert_eq!(denied.verdict, Verdict::Warning);
        let expected = "the stack: not checked: these credentials lack sqs:GetQueueAttributes";
        assert_eq!(denied.text, expected);
        assert_eq!(check("timed out").verdict, Verdict::Failed);
    }
}
