//! Answers of AWS, or the checks in their place.

use crate::aws::{explain, is_denied};
use ::aws::ApiError;
use settings::Check;

/// A question to AWS, of which the answer becomes a check.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// The name of the check.
    pub(super) check: &'static str,
    /// The subject of the check: a function, queue or log group.
    pub(super) subject: &'a str,
    /// The permission to ask it.
    pub(super) permission: &'static str,
}

impl Question<'_> {
    /// Returns the answer of AWS, or adds a check that names the error.
    pub(super) fn answered<T>(
        self,
        result: Result<T, ApiError>,
        checks: &mut Vec<Check>,
    ) -> Option<T> {
        result.map_err(|error| checks.push(self.unanswered(&error))).ok()
    }

    /// Like [`answered`](Self::answered), for an error that is explained already.
    pub(super) fn answered_explained<T>(
        self,
        result: anyhow::Result<T>,
        checks: &mut Vec<Check>,
    ) -> Option<T> {
        result.map_err(|error| checks.push(self.unanswered_explained(&error))).ok()
    }

    /// The check after a failed request. A missing permission is only a warning, which names the permission.
    pub(super) fn unanswered<'e>(self, error: impl Into<&'e ApiError>) -> Check {
        self.unanswered_explained(&explain(error))
    }

    pub(super) fn unanswered_explained(self, error: &anyhow::Error) -> Check {
        let Self { check, subject, permission } = self;
        if is_denied(error) {
            let text = format!("{subject}: not checked: these credentials lack {permission}");
            Check::warning(check, text)
        } else {
            Check::failed(check, format!("{subject}: {error:#}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::aws::Refusal;
    use settings::Verdict;

    #[test]
    fn a_missing_permission_is_only_a_warning() {
        let question =
            Question { check: "queue", subject: "the stack", permission: "sqs:GetQueueAttributes" };
        let check = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            question.unanswered(&ApiError::Refused(Refusal { status: 400, code, message }))
        };
        let denied = check("AccessDenied", "User x is not authorized to perform: y");
        assert_eq!(denied.verdict, Verdict::Warning);
        let expected = "the stack: not checked: these credentials lack sqs:GetQueueAttributes";
        assert_eq!(denied.text, expected);
        assert_eq!(check("InternalError", "timed out").verdict, Verdict::Failed);
    }
}
