//! Results of checks whose request to AWS failed.

use crate::aws::{explain, is_denied};
use settings::Check;
use std::error::Error;

/// The check of `what` after a failed request to AWS. A missing permission is a warning that names the permission.
pub(super) fn unanswered<E: Error + Send + Sync + 'static>(
    name: &'static str,
    what: &str,
    permission: &str,
    error: &E,
) -> Check {
    let why = explain(error);
    if is_denied(&why) {
        denied(name, what, permission)
    } else {
        Check::failed(name, format!("{what}: {why}"))
    }
}

pub(super) fn denied(name: &'static str, what: &str, permission: &str) -> Check {
    let text = format!("{what}: not checked: these credentials lack {permission}");
    Check::warning(name, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Verdict;
    use std::io;

    #[test]
    fn a_missing_permission_is_only_a_warning() {
        let check = |error: &str| {
            unanswered("alarms", "the stack", "cloudwatch:DescribeAlarms", &io::Error::other(error))
        };
        let denied = check("AccessDenied: User x is not authorized to perform: y");
        assert_eq!(denied.verdict, Verdict::Warning);
        let expected = "the stack: not checked: these credentials lack cloudwatch:DescribeAlarms";
        assert_eq!(denied.text, expected);
        assert_eq!(check("timed out").verdict, Verdict::Failed);
    }
}
