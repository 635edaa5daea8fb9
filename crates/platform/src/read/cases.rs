//! Lines of real loggers with the records that they must give, read as the forwarder reads them.
//!
//! `tests/fixtures/logger-cases.jsonl` has a row for each case: a package that was run, documentation, or a public report.
//! `fixtures/unread-cases.txt` lists those whose records are not right.

use crate::convert::Converter;
use crate::identity::{Identity, LogSource};
use crate::logs::LogEventRef;
use crate::options::PlatformOptions;
use crate::read::crash::ReportState;
use crate::render;
use expect_test::expect_file;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use wire::ids::to_hex;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "case")]
    name: String,
    /// The package that printed the lines, or the public report.
    #[serde(rename = "source")]
    _source: String,
    family: String,
    group: String,
    messages: Vec<String>,
    expect: Vec<Map<String, Value>>,
}

/// The log events of a stream after the forwarder joined those of one report.
fn joined(messages: &[String]) -> Vec<String> {
    let mut events: Vec<String> = Vec::new();
    let mut state = None;
    for message in messages {
        let is_empty = message.trim().is_empty();
        let line = message.trim_end_matches(['\r', '\n']);
        let after = match (state, events.last()) {
            (Some(state), Some(before)) => ReportState::after_event(state, before, line),
            _ => None,
        };
        match (after, events.last_mut()) {
            (Some(after), Some(before)) => {
                before.truncate(before.trim_end_matches(['\r', '\n']).len());
                before.extend(['\n']);
                before.push_str(line);
                state = Some(after);
            }
            _ if is_empty => {}
            _ => {
                state = ReportState::begin(message);
                events.push(message.clone());
            }
        }
    }
    events
}

fn records(case: &Case) -> Vec<LogRecord> {
    let identity = Identity::of(&LogSource {
        account: "123456789012",
        region: Some("eu-west-1"),
        log_group: &case.group,
        log_stream: "2026/09/21/[$LATEST]0f4d8c0c8f7b4e7f9a1b2c3d4e5f6071",
    });
    let mut converter = Converter::new(identity, PlatformOptions::default(), 1);
    for message in joined(&case.messages) {
        let event = LogEventRef { id: "", time_ms: 1_790_000_000_000, message: &message };
        converter.log_event(&event);
    }
    let requests = converter.finish().logs;
    requests.iter().flat_map(render::log_records).map(|(_, record)| record).collect()
}

fn attribute(record: &LogRecord, key: &str) -> Option<Value> {
    let found = record.attributes.iter().find(|attribute| attribute.key.ends_with(key))?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.as_str().into()),
        Any::BoolValue(value) => Some((*value).into()),
        Any::IntValue(value) => Some((*value).into()),
        Any::DoubleValue(value) => Some((*value).into()),
        _ => None,
    }
}

fn class(record: &LogRecord) -> &'static str {
    match record.severity_number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        _ => "fatal",
    }
}

fn difference(record: &LogRecord, expected: &Map<String, Value>) -> Option<String> {
    let body = render::value(record.body.as_ref().unwrap());
    expected.iter().find_map(|(what, expected)| {
        let found: Value = match what.as_str() {
            "sev" => class(record).into(),
            "has" if body.contains(expected.as_str().unwrap()) => expected.clone(),
            "body" | "has" => body.as_str().into(),
            "trace" => to_hex(&record.trace_id).into(),
            "span" => to_hex(&record.span_id).into(),
            "attrs" => {
                let keys = expected.as_object().unwrap().keys();
                keys.map(|key| (key.clone(), attribute(record, key).unwrap_or_default())).collect()
            }
            "without" => {
                let mut keys = expected.as_array().unwrap().clone();
                keys.retain(|key| attribute(record, key.as_str().unwrap()).is_none());
                keys.into()
            }
            _ => panic!("{what} is not known"),
        };
        (found != *expected).then(|| format!("{what}: {found} where {expected} is expected"))
    })
}

fn problem(case: &Case) -> Option<String> {
    let found = records(case);
    if found.len() != case.expect.len() {
        return Some(format!("{} records", found.len()));
    }
    found.iter().zip(&case.expect).find_map(|(record, expected)| difference(record, expected))
}

/// The share of right cases by family, and the cases that are not right.
#[derive(Default)]
struct Score {
    families: BTreeMap<String, [usize; 2]>,
    failed: String,
}

impl Score {
    fn of(rows: &str) -> Self {
        let mut score = Self::default();
        for row in rows.lines() {
            let case: Case = serde_json::from_str(row).unwrap();
            let problem = problem(&case);
            let [right, given] = score.families.entry(case.family.clone()).or_default();
            *given += 1;
            *right += usize::from(problem.is_none());
            if let Some(problem) = problem {
                writeln!(score.failed, "{}: {}: {problem}", case.family, case.name).unwrap();
            }
        }
        score
    }
}

/// The table has the cases that are not read right. `UPDATE_EXPECT=1` writes it: it may only get shorter.
#[test]
fn real_loggers_give_the_right_records() {
    let rows = include_str!("../../../../tests/fixtures/logger-cases.jsonl");
    expect_file!["../../fixtures/unread-cases.txt"].assert_eq(&Score::of(rows).failed);
}

/// Prints the score of a file of other cases, which `LOGGER_CASES` names.
#[test]
#[ignore = "needs a file of cases"]
fn cases_of_a_file() {
    let Some(path) = option_env!("LOGGER_CASES") else { return };
    let rows = std::fs::read_to_string(path).unwrap();
    let rows = rows.replace("TIME\\t", "2026-09-21T14:13:20.000Z\\t");
    let score = Score::of(&rows);
    println!("{}", score.failed);
    let [mut right, mut given] = [0, 0];
    for (family, [of_right, of_given]) in score.families {
        println!("{of_right:5} of {of_given:5}  {family}");
        right += of_right;
        given += of_given;
    }
    println!("{right} of {given}");
}
