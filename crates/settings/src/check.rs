//! The results of checking settings and their effects, one line each for a person.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// It works, with a remark.
    Warning,
    Failed,
    /// Not checked.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject: `endpoint`, `credentials`.
    pub name: &'static str,
    pub verdict: Verdict,
    /// The finding and the remedy.
    pub text: String,
}

impl Check {
    pub fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, text: text.into() }
    }

    pub fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, text: text.into() }
    }

    pub fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failed, text: text.into() }
    }

    pub fn skipped(name: &'static str) -> Self {
        let text = "not checked, because an earlier check failed".to_owned();
        Self { name, verdict: Verdict::Skipped, text }
    }

    pub fn is_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {:<13} {}", self.verdict.as_str(), self.name, self.text)
    }
}
