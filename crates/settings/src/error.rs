//! All mistakes in the variables at once.

use std::fmt;

/// One variable with an unusable value, and the reason.
///
/// The text never contains the value of a secret or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidVariable {
    pub name: String,
    /// The problem and the expectation; lower case, no full stop.
    pub problem: String,
}

impl fmt::Display for InvalidVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

/// A harmless remark about a variable: a likely misspelling, a value in a legacy unit, or a variable without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub name: String,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// All mistakes in the variables, printed as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidSettings(Vec<InvalidVariable>);

impl InvalidSettings {
    pub fn check(mistakes: Vec<InvalidVariable>) -> Result<(), Self> {
        if mistakes.is_empty() { Ok(()) } else { Err(Self(mistakes)) }
    }

    pub fn mistakes(&self) -> &[InvalidVariable] {
        &self.0
    }
}

impl From<InvalidVariable> for InvalidSettings {
    fn from(mistake: InvalidVariable) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistakes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&mistakes.join("; "))
    }
}
