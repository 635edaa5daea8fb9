//! Checks that messages in the manual are those of the code, so that a search finds them.

use super::ending;
use anyhow::Context as _;
use std::path::Path;

const DOCUMENT: &str = "docs/troubleshooting.md";
/// Beginnings of commands, and of the prefix of a log line: they are no messages.
const OTHERS: [&str; 5] = ["lambda-otlp ", "aws ", "cargo ", "doctor ", "["];
const LEFT_OUT: char = '…';

/// Messages that the document quotes and no code has.
pub(super) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(DOCUMENT)).context(DOCUMENT)?;
    let mut code = String::new();
    for file in files.iter().filter(|file| is_code(file)) {
        code.push_str(&std::fs::read_to_string(root.join(file)).with_context(|| file.clone())?);
    }
    let code = joined(&code);
    let unknown = quoted(&text).into_iter().filter(|quote| !is_in(quote, &code));
    Ok(unknown.map(|quote| format!("{DOCUMENT}: no code says `{quote}`")).collect())
}

fn is_code(file: &str) -> bool {
    matches!(ending(file), Some("rs" | "py" | "cjs")) || file.ends_with("/lambda-otlp-handler")
}

/// Code in which a text that is broken over lines stands in one.
fn joined(code: &str) -> String {
    let mut joined = String::with_capacity(code.len());
    let mut is_continued = false;
    for line in code.lines() {
        let mut line = line;
        if is_continued {
            line = line.trim_start();
            line = line.strip_prefix('"').unwrap_or(line);
        }
        // Rust continues a literal; the others end one, and another begins.
        let rest = line.strip_suffix('\\').or_else(|| line.strip_suffix("\" +"));
        let rest = rest.or_else(|| line.strip_suffix('"').filter(|rest| rest.ends_with(' ')));
        is_continued = rest.is_some();
        joined.push_str(rest.unwrap_or(line));
        if !is_continued {
            joined.push('\n');
        }
    }
    joined
}

fn quoted(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2);
    let codes = outside.flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_message =
        |code: &&str| code.contains(' ') && !OTHERS.iter().any(|other| code.starts_with(other));
    codes.filter(is_message).map(str::to_owned).collect()
}

/// Returns `true` if the code has all fixed parts of a message.
fn is_in(quote: &str, code: &str) -> bool {
    let parts = quote.split(LEFT_OUT).map(|part| part.trim_matches(['(', ')', ' ']));
    parts.filter(|part| part.contains(' ')).all(|part| code.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_messages_are_looked_up_in_the_code() {
        let code = joined(
            "warn!(\"cannot send, \\\n        telemetry goes to stdout\");\nsay(\"one \"\n    \"two\")\n",
        );
        let check =
            |quote: &str, expected: bool| assert_eq!(is_in(quote, &code), expected, "{quote}");
        check("cannot send, telemetry goes to stdout", true);
        check("cannot send, … goes to stdout", true);
        check("cannot send, telemetry goes nowhere", false);
        check("one two", true);
        let text = "| `not`, `cannot send` |\n```sh\n`not this`\n```\nrun `aws s3 ls` where it says `no room`\n";
        assert_eq!(quoted(text), ["cannot send", "no room"]);
    }
}
