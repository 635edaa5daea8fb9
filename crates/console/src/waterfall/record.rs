//! The text of a log record: a headline, and the lines of its stack trace.

use super::attributes::{INVOCATION_ID, attribute_text, item_number, value_text};
use super::{Scoped, causes};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use std::collections::BTreeMap;

/// A log record as a terminal shows it, in its trace or alone.
pub struct DrawnRecord {
    pub service: String,
    pub level: String,
    /// The message, and the lines of a stack trace. Time, level and request id of Lambda's runtimes are left out.
    pub lines: Vec<String>,
    /// The number of the demo's item; empty if there is none.
    pub item_number: String,
    /// In nanoseconds since the Unix epoch; 0 if unknown.
    pub time: u64,
    /// The causes of the error that it tells.
    pub causes: Vec<String>,
}

pub(super) const STACK: &str = "exception.stacktrace";

/// Beginnings of keys that the libraries add to each record, or whose value is in the text.
const OF_EACH_RECORD: &[&str] =
    &["code.", "thread.", "faas.", "log.", "aws.", "exception.", "lambda_otlp.exception.", "demo."];

/// Keys of the JSON objects in which runtimes describe a failure. The exception's attributes have the same values.
const OF_A_FAILURE: &[&str] = &["errorType", "errorMessage", "stack", "stackTrace", "trace"];

impl DrawnRecord {
    /// Uses the attributes as text if the record has no body, like the records of `#[instrument(err)]`.
    pub fn of(scoped: &Scoped<LogRecord>) -> Self {
        let record = &scoped.item;
        let body = record.body.as_ref().map(value_text).unwrap_or_default();
        let is_serious = record.severity_number >= SeverityNumber::Warn as i32;
        let mut lines = lines_of(record, &body);
        // The text of a warning or an error has the other fields too.
        if lines.is_empty() || is_serious {
            let mut parts: Vec<String> = lines.first().cloned().into_iter().collect();
            parts.extend(fields(record, &body));
            parts.retain(|part| !part.is_empty());
            let headline = parts.join(" ");
            if !lines.is_empty() {
                lines.remove(0);
            }
            if !headline.is_empty() {
                lines.insert(0, headline);
            }
        }
        Self {
            service: scoped.service.clone(),
            level: record.severity_text.clone(),
            lines,
            item_number: item_number(&record.attributes),
            time: time_of(record),
            causes: causes::of_record(record),
        }
    }
}

/// The scope of the records made from printed lines.
const LINES_SCOPE: &str = "lambda-otlp/logs";
/// The most nanoseconds between the printing of a line and its arrival.
const LATE: u64 = 20_000_000;

/// Corrects the times of printed lines, so that records sorted by time keep the order in which they were printed.
///
/// A logger's line has the time at which it was logged. Any other line has the time of its arrival at Lambda, which is some
/// milliseconds later, so a logger's next line may have an earlier time. In that case, the line gets the time of the next one.
pub fn align_times_to_print_order(records: &mut [Scoped<LogRecord>]) {
    let mut next_times: BTreeMap<String, u64> = BTreeMap::new();
    for record in records.iter_mut().rev().filter(|record| record.scope == LINES_SCOPE) {
        let invocation = attribute_text(&record.item.attributes, INVOCATION_ID).unwrap_or_default();
        let next_time = next_times.entry(invocation).or_insert(u64::MAX);
        let time = time_of(&record.item);
        if time > *next_time && time - *next_time <= LATE {
            record.item.time_unix_nano = *next_time;
        } else {
            *next_time = time;
        }
    }
}

/// The lines of a record's body. A stack trace has its own lines once, also if the body repeats it.
fn lines_of(record: &LogRecord, body: &str) -> Vec<String> {
    let attribute = |key: &str| attribute_text(&record.attributes, key).unwrap_or_default();
    let stack = message_lines(&attribute(STACK));
    let message = message_lines(after_prefix(body));
    if stack.is_empty() {
        return message;
    }
    let error = error_text(&attribute("exception.type"), &attribute("exception.message"));
    let is_of_stack = |line: &str| stack.iter().any(|of_stack| of_stack.trim() == line.trim());
    // Runtimes write the error as JSON after their own words.
    let own_words = message
        .first()
        .map(|line| line.split('{').next().unwrap_or_default().trim())
        .filter(|words| !is_of_stack(words))
        .unwrap_or_default();
    let headline = if error.is_empty() || own_words.contains(&error) {
        own_words.to_owned()
    } else if error.contains(own_words) {
        error.clone()
    } else {
        format!("{own_words} {error}")
    };
    let mut lines = vec![headline.clone()];
    lines.extend(stack.into_iter().filter(|line| line.trim() != headline && line.trim() != error));
    lines
}

/// The attributes that the text lacks, as `key=value`.
fn fields(record: &LogRecord, body: &str) -> Vec<String> {
    let has_exception = record.attributes.iter().any(|attribute| attribute.key == STACK);
    let is_field = |attribute: &&KeyValue| {
        let key = attribute.key.as_str();
        let has_no_text = body.is_empty() && !has_exception;
        let is_of_each_record = OF_EACH_RECORD.iter().any(|begin| key.starts_with(begin));
        let is_in_exception = has_exception && OF_A_FAILURE.contains(&key);
        has_no_text || !(is_of_each_record || is_in_exception)
    };
    let shown = |KeyValue { key, value, .. }: &KeyValue| {
        format!("{key}={}", value.as_ref().map(value_text).unwrap_or_default())
    };
    record.attributes.iter().filter(is_field).map(shown).collect()
}

/// Formats an error as `type: message`.
pub(super) fn error_text(error_type: &str, message: &str) -> String {
    match (error_type.trim(), message.trim()) {
        ("", text) | (text, "") => text.to_owned(),
        (error_type, message) if message.starts_with(error_type) => message.to_owned(),
        (error_type, message) => format!("{error_type}: {message}"),
    }
}

/// Splits a text at its line ends, which are `\r` in the tracebacks of Lambda's Python runtime. Empty lines are left out.
pub fn message_lines(text: &str) -> Vec<String> {
    let lines = text.split(['\n', '\r']).map(str::trim_end);
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Number of bytes of a text body before its message, which are ASCII.
pub(crate) fn prefix_bytes(record: &LogRecord) -> usize {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.len() - after_prefix(text).len(),
        _ => 0,
    }
}

/// Returns the message after time, level and request id, which Lambda's runtimes write before it.
fn after_prefix(text: &str) -> &str {
    /// More words are no prefix.
    const MAX_WORDS: usize = 5;
    let mut rest = text;
    let mut is_prefix = false;
    for _ in 0..MAX_WORDS {
        let Some(end) = rest.find([' ', '\t']) else { break };
        let Some((word, after)) = rest.split_at_checked(end) else { break };
        let is_column = after.starts_with('\t') || is_prefix;
        let is_of_prefix =
            is_time(word) || is_request_id(word) || is_level(word, is_column) || word.is_empty();
        if !is_of_prefix {
            break;
        }
        is_prefix = true;
        rest = after.get(1..).unwrap_or_default();
    }
    if is_prefix { rest.trim_start_matches([' ', '\t']) } else { text }
}

/// Returns `true` for a date, a time of day, or both.
fn is_time(word: &str) -> bool {
    let count = |separator: char| word.chars().filter(|character| *character == separator).count();
    let is_part =
        |c: char| c.is_ascii_digit() || matches!(c, ':' | '-' | '/' | '.' | ',' | 'T' | 'Z' | '+');
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.chars().all(is_part)
        && (count(':') >= 2 || count('-') == 2 || count('/') == 2)
}

fn is_request_id(word: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups = word.split('-').map(str::len);
    groups.eq(GROUPS) && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Returns `true` for a level: in brackets, or in a column of its own.
fn is_level(word: &str, is_column: bool) -> bool {
    const LEVELS: [&str; 12] = [
        "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL",
        "CRIT", "FAIL", "EMERG",
    ];
    let in_brackets = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    let level = in_brackets.or(is_column.then_some(word));
    level.is_some_and(|level| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)))
}

pub(super) fn time_of(record: &LogRecord) -> u64 {
    match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        time => time,
    }
}
