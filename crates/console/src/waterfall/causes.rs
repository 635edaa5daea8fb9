//! The causes of an error, in the texts in which languages print a chain of errors.
//!
//! Source: the output of Python 3.11's `traceback`, Node 20's `util.inspect` and `anyhow` 1.0 (`Debug`); the documentation of
//! Java's `Throwable.printStackTrace` and .NET's `Exception.ToString`.

use super::record::{STACK, message_lines};
use super::{attribute_text, value_text};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::Span;

/// The most causes of an error.
const MAX_CAUSES: usize = 8;

/// The sentence between two tracebacks of Python.
struct Joint {
    sentence: &'static str,
    /// The relation of the error below the sentence to the error above it.
    relation: Relation,
}

const PYTHON: [Joint; 2] = [
    Joint {
        sentence: "The above exception was the direct cause of the following exception:",
        relation: Relation::CausedBy,
    },
    Joint {
        sentence: "During handling of the above exception, another exception occurred:",
        relation: Relation::WhileHandling,
    },
];
/// The signs before a cause on the same line, of Node, Java and .NET.
const CAUSE_SIGNS: [&str; 3] = ["[cause]: ", "Caused by: ", "---> "];
/// The line before the causes of Rust's `anyhow` and `eyre`, which are indented and numbered.
const LIST_HEADING: &str = "Caused by:";

#[derive(Clone, Copy)]
enum Relation {
    CausedBy,
    WhileHandling,
}

impl Relation {
    fn to(self, error: &str) -> String {
        match self {
            Self::CausedBy => format!("caused by {error}"),
            Self::WhileHandling => format!("while handling {error}"),
        }
    }
}

/// Returns the causes that the exceptions of a span tell, the last one that it recorded first.
pub fn of_span(span: &Span) -> Vec<String> {
    let stacks =
        span.events.iter().rev().filter_map(|event| attribute_text(&event.attributes, STACK));
    first_found(stacks)
}

/// Returns the causes that a warning or an error tells.
pub fn of_record(record: &LogRecord) -> Vec<String> {
    if record.severity_number < SeverityNumber::Warn as i32 {
        return Vec::new();
    }
    let body = record.body.as_ref().map(value_text);
    first_found(attribute_text(&record.attributes, STACK).into_iter().chain(body))
}

/// Returns the causes in the first text that has some.
fn first_found(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.map(|text| causes(&text)).find(|causes| !causes.is_empty()).unwrap_or_default()
}

/// Returns the causes of the error that a text describes, the nearest first.
fn causes(text: &str) -> Vec<String> {
    let lines = message_lines(text);
    let mut causes = of_python(&lines);
    let mut is_in_list = false;
    for line in &lines {
        let trimmed = line.trim();
        let signed = CAUSE_SIGNS.iter().find_map(|sign| trimmed.strip_prefix(sign));
        let listed = (is_in_list && line.starts_with(' ')).then(|| without_number(trimmed));
        if let Some(found) = signed.or(listed) {
            // Node opens the properties of an error.
            let cause = found.strip_suffix('{').unwrap_or(found).trim_end();
            causes.push(Relation::CausedBy.to(cause));
        }
        is_in_list = trimmed == LIST_HEADING || listed.is_some();
    }
    causes.truncate(MAX_CAUSES);
    causes
}

/// Returns the causes that Python prints, which prints the first cause first.
fn of_python(lines: &[String]) -> Vec<String> {
    let mut causes = Vec::new();
    let mut error: Option<&String> = None;
    for line in lines {
        if let Some(joint) = PYTHON.iter().find(|joint| line.trim() == joint.sentence) {
            causes.extend(error.take().map(|above| joint.relation.to(above)));
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
