//! What a look at settings and at what they lead to has found, one line for a person each.

use std::fmt;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and a person should know something about it.
    Warning,
    /// It does not work.
    Failed,
    /// Not looked at, since something before it failed.
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
    /// What was looked at: `endpoint`, `credentials`.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Check {
    /// It is as it should be.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, text: text.into() }
    }

    /// It works, but.
    pub fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, text: text.into() }
    }

    /// It does not work.
    pub fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failed, text: text.into() }
    }

    /// A check that did not run.
    pub fn skipped(name: &'static str) -> Self {
        let text = "not checked, because an earlier check failed".to_owned();
        Self { name, verdict: Verdict::Skipped, text }
    }

    /// Whether it does not work.
    pub fn is_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

impl fmt::Display for Check {
    /// Verdict, name and text, in columns.
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
