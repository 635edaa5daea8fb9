//! Invalid values, and mistakes and warnings about variables.

use std::borrow::Cow;
use std::fmt;

/// The expectation that a text did not meet, such as `a duration (5s, 500ms, or milliseconds)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Expected(pub(crate) &'static str);

impl Expected {
    /// The problem of a text that is no secret.
    pub(crate) fn but_got(self, text: &str) -> InvalidValue {
        InvalidValue::new(format!("{} is not {self}", quoted(text)))
    }
}

/// The problem of the value of a variable or header. It never contains a secret or a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(Cow<'static, str>);

impl InvalidValue {
    pub(crate) fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self(problem.into())
    }
}

/// The quoted value, cut and escaped so that it can neither fill the log nor break its line.
pub fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let head: String = text.chars().take(MAX_CHARS).collect();
    let ellipsis = if head.len() < text.len() { "…" } else { "" };
    format!("{head:?}{ellipsis}")
}

impl From<InvalidValue> for String {
    fn from(InvalidValue(problem): InvalidValue) -> Self {
        problem.into_owned()
    }
}

/// A mistake, with the expectation, or a harmless remark: a likely misspelling, a value in a legacy unit, or a variable without
/// effect.
///
/// The text never contains the value of a secret or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub name: String,
    /// Lower case, no full stop.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// All mistakes in the variables, printed as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidSettings(Vec<Remark>);

impl InvalidSettings {
    pub fn check(mistakes: Vec<Remark>) -> Result<(), Self> {
        if mistakes.is_empty() { Ok(()) } else { Err(Self(mistakes)) }
    }

    pub fn mistakes(&self) -> &[Remark] {
        &self.0
    }
}

impl From<Remark> for InvalidSettings {
    fn from(mistake: Remark) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistakes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&mistakes.join("; "))
    }
}
