//! The lines of all loggers, and ordinary text that must not be mistaken for one.
//!
//! `tests/fixtures/loggers.jsonl` has a row for each logger: `messages` of one log stream of `group`, and `expect`, an object for
//! each log record. `docs/loggers.md` shows the rows in a table. `tests/fixtures/logger-cases.jsonl` has more such rows.

use crate::support::{body, default_options, deliver_event, incoming, payload, repository};
use expect_test::expect_file;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde::Deserialize;
use serde_json::{Value, json};
use settings::Source as _;
use std::fmt::Write as _;
use std::fs::read_to_string;
use std::path::Path;
use wire::ids::to_hex;

const TIME: &str = "2026-09-21T14:13:20.000Z";
const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Language of the logger. `reports` are cases of public bug reports.
    #[serde(alias = "family")]
    language: String,
    #[serde(alias = "case")]
    logger: String,
    /// The public report of the case.
    #[serde(default, rename = "source")]
    _source: String,
    #[serde(default = "function_group")]
    group: String,
    messages: Vec<String>,
    expect: Vec<Expected>,
    /// `true` if the lines are recognised after a prefix, too.
    #[serde(default = "yes")]
    combine: bool,
    /// `true` if the head has no field beside the level: behind what a logger wrote it is a text.
    #[serde(default)]
    is_bare: bool,
}

/// What a log record must have, see [`difference`].
type Expected = serde_json::Map<String, Value>;

fn function_group() -> String {
    "/aws/lambda/shop".to_owned()
}

fn yes() -> bool {
    true
}

/// The value of an attribute whose key has this end, if it is plain.
fn attribute_value(record: &LogRecord, key: &str) -> Option<Value> {
    let found = record.attributes.iter().find(|attribute| attribute.key.ends_with(key))?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.as_str().into()),
        Any::BoolValue(value) => Some((*value).into()),
        Any::IntValue(value) => Some((*value).into()),
        Any::DoubleValue(value) => Some((*value).into()),
        _ => None,
    }
}

/// The value of an attribute as it was before the adaptation to OpenObserve, which makes texts of numbers and Booleans.
fn sent_value(record: &LogRecord, key: &str, expected: &Value) -> Option<Value> {
    let found = attribute_value(record, key)?;
    let has_number = || attribute_value(record, &format!("{key}_number")).is_some();
    let is_same = found.as_str() == Some(&expected.to_string());
    let is_sent = is_same && (has_number() || expected.is_boolean());
    Some(if is_sent { expected.clone() } else { found })
}

fn rows() -> Vec<Row> {
    rows_of(&repository("tests/fixtures/loggers.jsonl"))
}

fn rows_of(path: &Path) -> Vec<Row> {
    let text = read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn records(group: &str, messages: &[&str]) -> Vec<LogRecord> {
    let delivered = deliver_event(incoming(&payload(group, messages)), default_options());
    delivered.records().cloned().collect()
}

fn class(record: &LogRecord) -> &'static str {
    match record.severity_number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "none",
    }
}

/// Describes the first difference between a record and the expectation. `attrs` may name the last part of a key.
fn difference(record: &LogRecord, expected: &Expected) -> Option<String> {
    expected.iter().find_map(|(what, expected)| {
        let found: Value = match what.as_str() {
            "sev" => class(record).into(),
            "has" if body(record).contains(expected.as_str().unwrap()) => expected.clone(),
            "body" | "has" => body(record).into(),
            "trace" => to_hex(&record.trace_id).into(),
            "span" => to_hex(&record.span_id).into(),
            "attrs" => {
                let expected = expected.as_object().unwrap().iter();
                expected.map(|(key, value)| (key.clone(), sent_value(record, key, value))).collect()
            }
            "without" => {
                let mut keys = expected.as_array().unwrap().clone();
                keys.retain(|key| attribute_value(record, key.as_str().unwrap()).is_none());
                keys.into()
            }
            _ => panic!("{what} is not known"),
        };
        (found != *expected).then(|| format!("{what}: {found} where {expected} is expected"))
    })
}

fn check(row: &Row) -> Option<String> {
    let messages: Vec<&str> = row.messages.iter().map(String::as_str).collect();
    let found = records(&row.group, &messages);
    let problem = if found.len() == row.expect.len() {
        found.iter().zip(&row.expect).find_map(|(record, expected)| difference(record, expected))
    } else {
        Some(format!("{} records", found.len()))
    };
    problem.map(|problem| format!("{}, {}: {problem}", row.language, row.logger))
}

#[test]
fn the_lines_of_every_logger_are_read() {
    let rows = rows();
    let failed: Vec<String> = rows.iter().filter_map(check).collect();
    println!("{} of {}", rows.len() - failed.len(), rows.len());
    assert_eq!(failed, Vec::<String>::new());
}

/// Output of packages that were run, of documentation and of public reports, and of the file that `LOGGER_CASES` names.
#[test]
fn real_loggers_give_the_right_records() {
    let mut rows = rows_of(&repository("tests/fixtures/logger-cases.jsonl"));
    if let Some(path) = settings::Env.get("LOGGER_CASES") {
        rows.extend(rows_of(Path::new(&path)));
    }
    let failed: Vec<String> = rows.iter().filter_map(check).collect();
    assert_eq!(failed, Vec::<String>::new());
}

type Write = fn(&str) -> String;

/// Only loggers write it, so that their level stands.
const PREFIX_OF_LOGGER: &str = "Python's prefix";

/// What runtimes and services put around a logger's line.
/// The level of a prefix must not hide a logger's INFO that is not read.
const AROUND: [(&str, Write); 7] = [
    ("Node's and Java's prefix", |line| format!("{TIME}\t{ID}\tWARN\t{line}")),
    (".NET's prefix", |line| format!("{TIME}\t{ID}\twarn\t{line}")),
    (PREFIX_OF_LOGGER, |line| format!("[WARNING]\t{TIME}\t{ID}\t{line}")),
    ("Go's prefix", |line| format!("2026/09/21 14:13:20 {line}")),
    ("CloudFront Functions' id", |line| {
        format!("BXOIUUvzh3LSnbRyHIyyO4IIaBmpOhqmhEXQd3Ph7T1xQH2gJ8P4XQ== {line}")
    }),
    ("Lambda's JSON log format", |line| {
        json!({"timestamp": TIME, "level": "WARN", "requestId": ID, "message": line}).to_string()
    }),
    ("Fluent Bit", |line| json!({"log": line, "stream": "stderr"}).to_string()),
];

#[test]
fn every_logger_is_read_behind_every_prefix() {
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.combine).collect();
    let mut count = 0;
    let mut failed = Vec::new();
    for (around, write) in AROUND {
        for row in &rows {
            let mut row = row.clone();
            row.messages = row.messages.iter().map(|line| write(line)).collect();
            row.logger = format!("{}, {around}", row.logger);
            for expected in &mut row.expect {
                // Only these must be equal. The body may have the prefix, too.
                expected.retain(|what, _| ["sev", "trace", "span"].contains(&what.as_str()));
                if row.is_bare && around == PREFIX_OF_LOGGER {
                    expected.insert("sev".to_owned(), "warn".into());
                }
            }
            count += 1;
            failed.extend(check(&row));
        }
    }
    println!("{} of {count}", count - failed.len());
    assert_eq!(failed, Vec::<String>::new());
}

/// The lines of prose that have a level after this text.
fn leveled_prose(before: &str) -> Vec<String> {
    let text = read_to_string(repository("tests/fixtures/prose.txt")).unwrap();
    let lines: Vec<String> = text.lines().map(|line| format!("{before}{line}")).collect();
    let messages: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = records("/aws/lambda/shop", &messages);
    assert_eq!(found.len(), lines.len());
    let leveled = found.iter().zip(text.lines()).filter(|(record, _)| record.severity_number != 9);
    leveled.map(|(_, line)| line.to_owned()).collect()
}

#[test]
fn ordinary_text_has_no_level() {
    assert_eq!(leveled_prose(""), Vec::<String>::new());
}

/// Go's `log` writes a time before every text. Columns, a second time, and a name with a colon make a level of a word.
#[test]
fn ordinary_text_of_go_has_no_level() {
    let columns = [
        "| ERROR | 3 |",
        "--- ERROR ---",
        "order\tERROR\tno stock",
        "2026-09-21 ERROR page",
        "message: ERROR",
    ];
    let mut leveled = leveled_prose("2026/11/28 03:15:54 ");
    leveled.retain(|line| !columns.contains(&line.as_str()));
    assert_eq!(leveled, Vec::<String>::new());
}

/// The table of docs/loggers.md. `UPDATE_EXPECT=1` writes it.
#[test]
fn the_documented_loggers_are_those_that_are_read() {
    const BEGIN: &str = "<!-- loggers: written by forwarder/tests/scenarios/loggers.rs -->\n";
    const END: &str = "<!-- /loggers -->\n";
    let path = repository("docs/loggers.md");
    let page = read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    expect_file![path].assert_eq(&format!("{before}{BEGIN}{}{END}{after}", table_of_loggers()));
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, text)| text))
}

fn table_of_loggers() -> String {
    const MAX_LETTERS: usize = 90;
    let mut table = String::from(
        "\n| language | logger | example | level | read besides |\n|---|---|---|---|---|\n",
    );
    // Rows of reports repeat the others, and so do variants, which have a comma in their names.
    let is_shown = |row: &&Row| row.language != "reports" && !row.logger.contains(", one event");
    for row in rows().iter().filter(is_shown) {
        let messages: Vec<&str> = row.messages.iter().map(String::as_str).collect();
        let found = records(&row.group, &messages);
        let record = &found[0];
        let without_ids = row.messages[0].replace(ID, "ID").replace(TIME, "TIME");
        let first_line = without_ids.lines().next().unwrap_or_default();
        let plain: String = without_colours(first_line)
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .take(MAX_LETTERS)
            .collect();
        let example = plain.replace('|', "\\|");
        let has_fields = body(record) != row.messages[0].trim_end();
        let besides = [
            ("request id", attribute_value(record, "faas.invocation_id").is_some()),
            ("trace", !record.trace_id.is_empty()),
            ("exception", attribute_value(record, "exception.type").is_some()),
            ("message, fields", has_fields && row.messages.len() == 1),
        ];
        let besides: Vec<&str> =
            besides.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
        let Row { language, logger, .. } = row;
        // Other backends than OpenObserve get the level itself.
        let own = attribute_value(record, "lambda_otlp.severity_text");
        let level = own.as_ref().and_then(Value::as_str).unwrap_or(&record.severity_text);
        writeln!(
            table,
            "| {language} | {logger} | `` {example} `` | {level} | {} |",
            besides.join(", ")
        )
        .unwrap();
    }
    table.push('\n');
    table
}
