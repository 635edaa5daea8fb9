//! The causes of an error, in the texts in which languages print a chain of errors.
//!
//! Source: the output of Python 3.11's `traceback`, Node 20's `util.inspect` and `anyhow` 1.0 (`Debug`); the documentation of
//! Java's `Throwable.printStackTrace` and .NET's `Exception.ToString`.

use super::log::{STACK, message_lines};
use super::{text, text_of};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::Span;

/// The most causes of an error.
const MOST: usize = 8;

/// The sentences between the tracebacks of Python: the error above caused the one below, or was handled when it occurred.
const PYTHON: [(&str, Relation); 2] = [
    ("The above exception was the direct cause of the following exception:", Relation::CausedBy),
    (
        "During handling of the above exception, another exception occurred:",
        Relation::WhileHandling,
    ),
];
/// The signs before a cause of Node, Java and .NET.
const BEFORE_CAUSE: [&str; 3] = ["[cause]: ", "Caused by: ", "---> "];
/// The line before the causes of Rust's `anyhow` and `eyre`, which are indented and numbered.
const BEFORE_CAUSES: &str = "Caused by:";

#[derive(Clone, Copy)]
enum Relation {
    CausedBy,
    WhileHandling,
}

impl Relation {
    fn of(self, error: &str) -> String {
        match self {
            Self::CausedBy => format!("caused by {error}"),
            Self::WhileHandling => format!("while handling {error}"),
        }
    }
}

/// Returns the causes that the exceptions of a span tell, the last one that it recorded first.
pub fn of_span(span: &Span) -> Vec<String> {
    let stacks = span.events.iter().rev().filter_map(|event| text_of(&event.attributes, STACK));
    first_found(stacks)
}

/// Returns the causes that a warning or an error tells.
pub fn of_record(record: &LogRecord) -> Vec<String> {
    if record.severity_number < SeverityNumber::Warn as i32 {
        return Vec::new();
    }
    let body = record.body.as_ref().map(text);
    first_found(text_of(&record.attributes, STACK).into_iter().chain(body))
}

fn first_found(mut texts: impl Iterator<Item = String>) -> Vec<String> {
    texts
        .find_map(|text| Some(causes(&text)).filter(|causes| !causes.is_empty()))
        .unwrap_or_default()
}

/// Returns the causes of the error that a text describes, the nearest first.
fn causes(text: &str) -> Vec<String> {
    let lines = message_lines(text);
    let mut causes = of_python(&lines);
    let mut is_list = false;
    for line in &lines {
        let trimmed = line.trim();
        let cause = BEFORE_CAUSE.iter().find_map(|sign| trimmed.strip_prefix(sign));
        let listed = (is_list && line.starts_with(' ')).then(|| without_number(trimmed));
        if let Some(cause) = cause.or(listed) {
            // Node opens the properties of an error.
            let cause = cause.strip_suffix('{').unwrap_or(cause).trim_end();
            causes.push(Relation::CausedBy.of(cause));
        }
        is_list = trimmed == BEFORE_CAUSES || listed.is_some();
    }
    causes.truncate(MOST);
    causes
}

/// Python prints the first cause first.
fn of_python(lines: &[String]) -> Vec<String> {
    let mut causes = Vec::new();
    let mut error = None;
    for line in lines {
        let joint = PYTHON.iter().find(|(sentence, _)| line.trim() == *sentence);
        if let Some((_, relation)) = joint {
            causes.extend(error.take().map(|error: &String| relation.of(error)));
        } else if line.starts_with("Traceback (") {
            error = None;
        } else if error.is_none() && !line.starts_with(' ') {
            error = Some(line);
        }
    }
    causes.reverse();
    causes
}

/// `0: no such file` without its number.
fn without_number(line: &str) -> &str {
    match line.split_once(": ") {
        Some((number, cause)) if number.bytes().all(|byte| byte.is_ascii_digit()) => cause,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_tells_the_causes_of_an_error() {
        let check = |lines: &[&str], expected: &[&str]| {
            let text = lines.join("\n");
            assert_eq!(causes(&text), expected, "{text}");
        };
        let python = [
            "Traceback (most recent call last):",
            "  File \"app.py\", line 22, in charge",
            "    return {\"visa\": 1}[\"amex\"]",
            "           ~~~~~~~~~~~^^^^^^^^",
            "KeyError: 'amex'",
            "",
            "The above exception was the direct cause of the following exception:",
            "",
            "Traceback (most recent call last):",
            "  File \"app.py\", line 24, in charge",
            "ConnectionError: no route",
            "of two lines",
            "",
            "During handling of the above exception, another exception occurred:",
            "",
            "Traceback (most recent call last):",
            "  File \"app.py\", line 44, in handler",
            "app.PaymentRefused: order 8",
        ];
        check(&python, &["while handling ConnectionError: no route", "caused by KeyError: 'amex'"]);
        let node = [
            "payment failed PaymentRefused: order 8",
            "    at pay (index.js:27:11) {",
            "  [cause]: Error: no JSON",
            "      at charge (index.js:19:11) {",
            "    [cause]: SyntaxError: Expected ',' or '}'",
            "        at JSON.parse (<anonymous>)",
            "  }",
            "}",
        ];
        check(&node, &["caused by Error: no JSON", "caused by SyntaxError: Expected ',' or '}'"]);
        check(&["refused", "", "Caused by:", "    invalid digit"], &["caused by invalid digit"]);
        let rust = [
            "refused",
            "",
            "Caused by:",
            "    0: no route",
            "    1: invalid digit",
            "",
            "Stack backtrace:",
            "   0: main",
        ];
        check(&rust, &["caused by no route", "caused by invalid digit"]);
        let java = [
            "java.lang.IllegalStateException: refused",
            "\tat Shop.pay(Shop.java:7)",
            "Caused by: java.io.IOException: no route",
            "\t... 3 more",
        ];
        check(&java, &["caused by java.io.IOException: no route"]);
        check(
            &[
                "System.Exception: refused",
                " ---> System.IO.IOException: no route",
                "   at Shop.Pay()",
            ],
            &["caused by System.IO.IOException: no route"],
        );
        check(&["ValueError: no cause", "  at frame"], &[]);
    }
}
