//! What is wrong with the variables, all of it at once.

use std::fmt;

/// One variable whose value cannot be used, and why.
///
/// The text never holds a secret's value, nor a URL's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidVariable {
    /// The variable's name.
    pub name: String,
    /// What is wrong and what is expected; lower case, no full stop.
    pub problem: String,
}

impl fmt::Display for InvalidVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

/// Something about a variable that a person should know and that stops nothing: a likely misspelling, a value read in a
/// legacy unit, a variable that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The variable's name.
    pub name: String,
    /// Lower case, no full stop.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// Every mistake in the variables, printed as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidSettings(Vec<InvalidVariable>);

impl InvalidSettings {
    /// `Ok` where there is no mistake.
    pub fn check(mistakes: Vec<InvalidVariable>) -> Result<(), Self> {
        if mistakes.is_empty() { Ok(()) } else { Err(Self(mistakes)) }
    }

    /// The mistakes, in the order in which the variables were read.
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
        for (position, mistake) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}
