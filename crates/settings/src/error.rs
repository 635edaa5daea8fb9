//! Mistakes and warnings about variables.

use std::fmt;

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
