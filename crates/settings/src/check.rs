//! The results of checking settings and their effects, one line each for a person.

use std::fmt;

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is fine.
    Ok,
    /// It works, with a remark.
    Warning,
    /// It does not work.
    Failed,
    /// Skipped, because an earlier check failed.
    Skipped,
}

impl Verdict {
    /// `ok`, `warning`, `failed` or `skipped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject: `endpoint`, `credentials`.
    pub name: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// The finding and the remedy.
    pub text: String,
}

impl Check {
    /// A passed check.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, text: text.into() }
    }

    /// A passed check with a warning.
    pub fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, text: text.into() }
    }

    /// A failed check.
    pub fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failed, text: text.into() }
    }

    /// A skipped check.
    pub fn skipped(name: &'static str) -> Self {
        let text = "not checked, because an earlier check failed".to_owned();
        Self { name, verdict: Verdict::Skipped, text }
    }

    /// Returns `true` if the check failed.
    pub fn is_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {:<13} {}", self.verdict.as_str(), self.name, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_columns() {
        let check = |check: Check, expected| assert_eq!(check.to_string(), expected);
        check(Check::ok("settings", "all"), "ok      settings      all");
        check(Check::warning("endpoint", "no TLS"), "warning endpoint      no TLS");
        check(Check::failed("double wiring", "two"), "failed  double wiring two");
        let skipped = "skipped record        not checked, because an earlier check failed";
        check(Check::skipped("record"), skipped);
    }
}
