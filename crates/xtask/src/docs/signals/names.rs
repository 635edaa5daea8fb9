//! Finds the names of telemetry in the code, and undocumented ones.

use crate::docs::ending;
use anyhow::Context as _;
use std::collections::BTreeSet;
use std::path::Path;

const CODE: [&str; 8] = [
    "crates/backend/src/",
    "crates/platform/src/",
    "crates/wire/src/",
    "exporter/src/",
    "extension/layer/",
    "extension/src/",
    "forwarder/src/",
    "crates/subscriber/src/",
];

const BEGINNINGS: [&str; 27] = [
    "alb.",
    "aws.",
    "client.",
    "cloud.",
    "code.",
    "db.",
    "enduser.",
    "error.",
    "event.",
    "exception.",
    "faas.",
    "gen_ai.",
    "graphql.",
    "host.",
    "http.",
    "lambda_otlp.",
    "log.",
    "messaging.",
    "net.",
    "network.",
    "peer.",
    "process.",
    "rpc.",
    "server.",
    "telemetry.",
    "url.",
    "user_agent.",
];

/// Values, keys that are read, and file names that look like names of telemetry.
const OTHERS: [&str; 10] = [
    "aws.dynamodb",
    "aws.events",
    "aws.lambda.runtime.handler.streaming",
    "aws.log.group.arns",
    "aws.log.stream.arns",
    "aws.scheduler",
    "aws.sns",
    "aws.xray.",
    "aws.xray.type",
    "log.level",
];

/// Names in the code that no document says, and names that the document says and no code.
pub(super) fn mistakes(
    root: &Path,
    files: &[String],
    document: &str,
) -> anyhow::Result<Vec<String>> {
    let mut made = BTreeSet::new();
    let mut told = BTreeSet::new();
    for file in files {
        let read = || std::fs::read_to_string(root.join(file)).with_context(|| file.clone());
        if is_code(file) {
            made.extend(names_in_literals(&read()?));
        } else if file.starts_with("docs/") && ending(file) == Some("md") {
            told.extend(names_in_code(&read()?));
        }
    }
    let unsaid =
        made.iter().filter(|name| !told.contains(*name) && !OTHERS.contains(&name.as_str()));
    let unsaid = unsaid.map(|name| format!("no document says `{name}`"));
    let of_document = names_in_tables(document);
    let gone = of_document.iter().filter(|name| is_name(name) && !made.contains(*name));
    let gone = gone.filter(|name| !name.starts_with("telemetry.sdk."));
    Ok(unsaid.chain(gone.map(|name| format!("`{name}` is nowhere in the code"))).collect())
}

fn is_code(file: &str) -> bool {
    let is_source = matches!(ending(file), Some("rs" | "py" | "cjs"));
    let is_test = file.contains("/tests/") || file.ends_with("tests.rs") || file.contains("/test_");
    is_source && !is_test && CODE.iter().any(|folder| file.starts_with(folder))
}

/// The names in literals of the code. Tests stand last in a file and do not count.
fn names_in_literals(code: &str) -> BTreeSet<String> {
    let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let literals = code.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
    literals.filter(|text| is_name(text)).map(str::to_owned).collect()
}

fn names_in_code(document: &str) -> BTreeSet<String> {
    let parts = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let words = parts.flat_map(|part| part.split(['=', ' ', '"']));
    words.filter(|word| is_name(word)).map(str::to_owned).collect()
}

fn names_in_tables(document: &str) -> BTreeSet<String> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| names_in_code(row.split('|').nth(1).unwrap_or_default())).collect()
}

fn is_name(text: &str) -> bool {
    let is_of_name =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    text.chars().all(is_of_name) && BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}
