//! Filter patterns of CloudWatch Logs, for tests of patterns: terms, and one form of JSON patterns.

use serde_json::Value;
use thiserror::Error;

/// The longest pattern (CloudWatch Logs: 1,024 characters).
const MAX_PATTERN_CHARS: usize = 1024;

/// A pattern that selects events of a log group (AWS: CloudWatch Logs "Filter pattern syntax").
///
/// Simulated are the empty pattern, terms (`?a ?"two words"`, any of them), and `{ $.key IS TRUE }`. Other forms are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterPattern(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    AnyTerm(Vec<String>),
    /// The key must be `true`.
    IsTrue(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("filter pattern {pattern:?}: {reason}")]
pub struct InvalidPattern {
    pattern: String,
    reason: &'static str,
}

impl FilterPattern {
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        let refused = |reason| InvalidPattern { pattern: pattern.to_owned(), reason };
        if pattern.chars().count() > MAX_PATTERN_CHARS {
            return Err(refused("it is longer than 1,024 characters"));
        }
        if let Some(condition) = pattern.trim().strip_prefix('{') {
            let condition = condition.strip_suffix('}').map(str::trim);
            let key = condition
                .and_then(|condition| condition.strip_prefix("$.")?.strip_suffix(" IS TRUE"));
            let key = key.filter(|key| !key.is_empty() && key.chars().all(is_of_word));
            let key = key.ok_or_else(|| {
                refused("of JSON patterns, only `{ $.key IS TRUE }` is simulated")
            })?;
            return Ok(Self(Form::IsTrue(key.to_owned())));
        }
        let mut terms = Vec::new();
        let mut rest = pattern.trim_start();
        while !rest.is_empty() {
            let term = rest
                .strip_prefix('?')
                .ok_or_else(|| refused("of terms, only `?term` is simulated"))?;
            let (term, after) = match term.strip_prefix('"') {
                Some(quoted) => {
                    quoted.split_once('"').ok_or_else(|| refused("a quote is not closed"))?
                }
                None => term.split_at(term.find(|c: char| !is_of_word(c)).unwrap_or(term.len())),
            };
            let ends = after.is_empty() || after.starts_with(char::is_whitespace);
            if term.is_empty() || term.contains('\\') || !ends {
                return Err(refused(
                    "a term must be a word, or a text in double quotes without backslashes",
                ));
            }
            terms.push(term.to_owned());
            rest = after.trim_start();
        }
        Ok(Self(Form::AnyTerm(terms)))
    }

    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Form::AnyTerm(terms) => {
                terms.is_empty() || terms.iter().any(|term| message.contains(term.as_str()))
            }
            Form::IsTrue(key) => serde_json::from_str::<Value>(message)
                .is_ok_and(|event| event.get(key) == Some(&Value::Bool(true))),
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_pattern_matches_as_in_cloudwatch() {
        let check = |pattern: &str, message: &str, expected: bool| {
            let pattern = FilterPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(message), expected, "{pattern:?} on {message}");
        };
        check("", "anything", true);
        check("?\"REPORT RequestId\" ?platform", "REPORT RequestId: 7", true);
        check("?a ?b", "c", false);
        check("{ $.spill IS TRUE }", r#"{"spill":true}"#, true);
        check("{$.spill IS TRUE}", r#"{"spill":"true"}"#, false);
        check("{ $.spill IS TRUE }", "no JSON", false);
    }
}
