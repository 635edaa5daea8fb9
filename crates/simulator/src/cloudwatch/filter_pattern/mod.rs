//! Filter patterns of subscription filters: terms, and the common part of JSON patterns.

mod parse;

use serde_json::Value;

pub use parse::InvalidPattern;

/// A pattern that decides which events of a log group a subscription gets
/// (AWS: CloudWatch Logs "Filter pattern syntax").
///
/// Understood are the empty pattern, terms (`ERROR "two words"` all of them, `?a ?b` any of them, `-a` none of them)
/// and JSON patterns of comparisons with `&&`, `||` and parentheses. Regular expressions and space-delimited patterns
/// are refused.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterPattern(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Terms { required: Vec<String>, optional: Vec<String>, excluded: Vec<String> },
    Json(Condition),
}

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Property { selector: Vec<Step>, test: Test },
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Exists,
    Missing,
    Is(Value),
    Text { pattern: String, equal: bool },
    Number { operator: Operator, value: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl FilterPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Where CloudWatch Logs would refuse it, and where the simulator does not know the form.
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        parse::parse(pattern).map(Self)
    }

    /// Returns `true` if the pattern matches this message.
    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Form::Terms { required, optional, excluded } => {
                let contains = |term: &String| message.contains(term.as_str());
                // Optional terms decide only where no term is required.
                let any =
                    optional.is_empty() || !required.is_empty() || optional.iter().any(contains);
                any && required.iter().all(contains) && !excluded.iter().any(contains)
            }
            Form::Json(condition) => serde_json::from_str::<Value>(message)
                .is_ok_and(|value| value.is_object() && condition.holds(&value)),
        }
    }
}

impl Condition {
    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(event)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(event)),
            Self::Property { selector, test } => {
                let found = selector.iter().try_fold(event, |value, step| match step {
                    Step::Key(key) => value.get(key),
                    Step::Index(index) => value.get(index),
                });
                test.holds(found)
            }
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Missing, found) => found.is_none(),
            (_, None) => false,
            (Self::Exists, Some(_)) => true,
            (Self::Is(expected), Some(value)) => value == expected,
            (Self::Text { pattern, equal }, Some(value)) => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Bool(truth) => truth.to_string(),
                    Value::Null | Value::Array(_) | Value::Object(_) => return !equal,
                };
                wildcard_matches(pattern, &text) == *equal
            }
            (Self::Number { operator, value: bound }, Some(value)) => {
                let Some(order) = value.as_f64().and_then(|number| number.partial_cmp(bound))
                else {
                    return false;
                };
                match operator {
                    Operator::Equal => order.is_eq(),
                    Operator::NotEqual => order.is_ne(),
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    Operator::GreaterOrEqual => order.is_ge(),
                }
            }
        }
    }
}

/// `*` stands for any characters.
fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_cloudwatch_would() {
        #[track_caller]
        fn check(pattern: &str, message: &str, expected: bool) {
            assert_eq!(
                FilterPattern::parse(pattern).unwrap().matches(message),
                expected,
                "{pattern} on {message}"
            );
        }
        check("", "anything\n", true);
        check("  ", "", true);
        check("ERROR", "an ERROR here", true);
        check("ERROR", "an error here", false);
        check("ERROR disk", "disk: ERROR", true);
        check("ERROR disk", "ERROR", false);
        check(r#""two words""#, "now two words", true);
        check(r#""two words""#, "words two", false);
        check(r#""a \"quoted\" term""#, r#"a "quoted" term"#, true);
        check("?ERROR ?WARN", "a WARN", true);
        check("?ERROR ?WARN", "an INFO", false);
        check("?ERROR ?WARN -health", "WARN health", false);
        check("ERROR ?WARN", "ERROR", true);
        check("-START", "START RequestId", false);
        check("-START", "END RequestId", true);
        check(r#"ERROR -"code 5""#, "ERROR code 5", false);
        let collect =
            r#"?"__otel_otlp_stdout" ?"REPORT RequestId" ?"platform.report" ?"Task timed out""#;
        check(collect, r#"{"__otel_otlp_stdout":"x@1"}"#, true);
        check(collect, "REPORT RequestId: 1\tDuration: 1 ms\t\n", true);
        check(collect, "START RequestId: 1 Version: $LATEST\n", false);

        check("{ $.__otel_otlp_stdout = * }", "{\"__otel_otlp_stdout\":\"x@1\"}\n", true);
        check("{ $.__otel_otlp_stdout = * }", r#"{"other":1}"#, false);
        check("{ $.__otel_otlp_stdout = * }", r#"prefix {"__otel_otlp_stdout":"x@1"}"#, false);
        check("{ $.__otel_otlp_stdout = * }", r#"{"__otel_otlp_stdout":"cut o"#, false);
        check("{ $.a NOT EXISTS }", r#"{"b":1}"#, true);
        check("{ $.a NOT EXISTS }", r#"{"a":null}"#, false);
        check("{ $.a IS NULL }", r#"{"a":null}"#, true);
        check("{$.a IS TRUE}", r#"{"a":true}"#, true);
        check(r#"{ $.level = "ERR*" }"#, r#"{"level":"ERROR"}"#, true);
        check(r#"{ $.level = "*RO*" }"#, r#"{"level":"ERROR"}"#, true);
        check(r#"{ $.level = "*RO" }"#, r#"{"level":"ERROR"}"#, false);
        check(r#"{ $.level != "ERROR" }"#, r#"{"level":"INFO"}"#, true);
        check(r#"{ $.level != "ERROR" }"#, r#"{"other":"INFO"}"#, false);
        check("{ $.type = platform.report }", r#"{"type":"platform.report"}"#, true);
        check("{ $.status >= 500 }", r#"{"status":503}"#, true);
        check("{ $.status >= 500 }", r#"{"status":"503"}"#, false);
        check("{ $.a.b[1] = 2 }", r#"{"a":{"b":[1,2]}}"#, true);
        check("{ $.a.['b.c'] = * }", r#"{"a":{"b.c":0}}"#, true);
        check("{ ($.a = 1 || $.b = 1) && $.c = 1 }", r#"{"b":1,"c":1}"#, true);
        check("{ ($.a = 1 || $.b = 1) && $.c = 1 }", r#"{"b":1}"#, false);
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_the_place() {
        #[track_caller]
        fn check(pattern: &str, expected: &str) {
            assert_eq!(FilterPattern::parse(pattern).unwrap_err().to_string(), expected);
        }
        check(
            "platform.report",
            "filter pattern, at character 8: a term with this character needs double quotes",
        );
        check(r#""open"#, "filter pattern, at character 5: the quote is not closed");
        check("?", "filter pattern, at character 1: a term is empty");
        check(
            "[a, b]",
            "filter pattern, at character 0: space-delimited patterns are not simulated",
        );
        check("%a+%", "filter pattern, at character 0: regular expressions are not simulated");
        check("{ $.a = * ", "filter pattern, at character 10: `}` expected");
        check("{ a = 1 }", "filter pattern, at character 2: a selector such as `$.key` expected");
        check("{ $.a ~ 1 }", "filter pattern, at character 6: a comparison expected");
        check(
            "{ $.a = }",
            "filter pattern, at character 8: a value expected: a number, a quoted text or `*`",
        );
        check(
            "{ $.a = 1 } b",
            "filter pattern, at character 12: nothing may follow the JSON pattern",
        );
        check(&"a".repeat(1025), "filter pattern, at character 0: longer than 1,024 characters");
    }
}
