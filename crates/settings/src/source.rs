//! The source of values: the process environment, or a map in tests and command lines.

use std::collections::HashMap;

/// Provides values by name. An empty value counts as unset (OpenTelemetry, SDK environment variables, "Parsing empty value").
pub trait Source {
    /// The value, if there is one and it is not empty.
    fn get(&self, name: &str) -> Option<String>;

    /// All names with a value, used only to find misspelt ones.
    fn names(&self) -> Vec<String>;

    /// The name under which the value was given: a source may accept older names.
    fn name_as_given(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// The process environment. No other code in the workspace reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Env;

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
impl Source for Env {
    // Replacement characters stand for invalid Unicode, so that the parser reports the value.
    fn get(&self, name: &str) -> Option<String> {
        let value = std::env::var_os(name)?;
        (!value.is_empty()).then(|| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl<S: std::hash::BuildHasher> Source for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).filter(|value| !value.is_empty()).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// For tests: `[("NAME", "value")]`.
impl<const N: usize> Source for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.iter().rev().find(|(key, _)| *key == name)?;
        (!value.is_empty()).then(|| (*value).to_owned())
    }

    fn names(&self) -> Vec<String> {
        self.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
}
