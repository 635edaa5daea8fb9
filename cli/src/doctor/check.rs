//! What a check found, and how it is said.

use serde::Serialize;
use std::io::{self, Write};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    Warning,
    Failed,
    /// Not looked at, since something before it failed.
    Skipped,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at: `endpoint`, `credentials`.
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found, and what to do about it.
    pub(crate) text: String,
}

impl Check {
    pub(crate) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, text: text.into() }
    }

    pub(crate) fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, text: text.into() }
    }

    pub(crate) fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failed, text: text.into() }
    }

    pub(crate) fn skipped(name: &'static str) -> Self {
        let text = "not looked at, since a check before it failed".to_owned();
        Self { name, verdict: Verdict::Skipped, text }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

pub(crate) fn write(checks: &[Check], out: &mut dyn Write) -> io::Result<()> {
    for Check { name, verdict, text } in checks {
        let verdict = match verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed ",
            Verdict::Skipped => "skipped",
        };
        writeln!(out, "{verdict} {name:<13} {text}")?;
    }
    Ok(())
}
