//! Finds possible OTLP lines in the text of a log event. Each search reads the text once.

use super::java;
use super::{COMPACT_MARKER, MARKER};
use crate::schema::signal_of_key;
use memchr::memchr;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// The marker of lines of 2024; ours and all later ones have [`MARKER`].
pub(super) const OLD_MARKER: &str = "_otel";

/// Keys under which log records contain the logged text: `message` in Lambda's JSON format and most loggers, `msg` in others,
/// `log` in container runtimes, `record` in Telemetry API events, `fields` in tracing-subscriber's JSON (with `message` in it).
pub(super) const WRAPPERS: [&str; 5] = ["message", "msg", "log", "record", "fields"];

const RESOURCE: &str = "resource";
const SCOPE: &str = "scope";
/// The common endings of the signals' keys, in JSON's and protobuf's spelling.
const SIGNALS: [&str; 6] = ["Spans", "Logs", "Metrics", "_spans", "_logs", "_metrics"];

// Statics, because creating a finder takes longer than one search.
static FIND_MARKER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARKER));
static FIND_OLD_MARKER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OLD_MARKER));
static FIND_RESOURCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(RESOURCE));
static FIND_SCOPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(SCOPE));

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns `true` for white space and byte order marks, which alone are not worth keeping.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == BYTE_ORDER_MARK
}

pub(super) fn has_object(text: &str) -> bool {
    memchr(b'{', text.as_bytes()).is_some()
}

/// Returns `false` for a text without OTLP; this is the only cost of an ordinary log line.
pub fn mentions_otlp(text: &str) -> bool {
    let bytes = text.as_bytes();
    has_object(text)
        && (FIND_OLD_MARKER.find(bytes).is_some()
            || FIND_RESOURCE
                .find(bytes)
                .is_some_and(|_| signal_names(text).next().is_some() || has_scopes(text)))
}

/// Returns `true` if a text with a `resource` may contain one resource's telemetry without a request around it.
fn has_scopes(text: &str) -> bool {
    FIND_SCOPE.find_iter(text.as_bytes()).any(|at| {
        let after = text.get(at + SCOPE.len()..).unwrap_or_default();
        SIGNALS.iter().any(|name| after.starts_with(name))
    })
}

/// The text around a name.
struct Around<'t> {
    before: &'t str,
    after: &'t str,
}

/// Returns the text around each possible key of a signal.
fn signal_names(text: &str) -> impl Iterator<Item = Around<'_>> {
    FIND_RESOURCE.find_iter(text.as_bytes()).filter_map(|at| {
        let before = text.get(..at)?;
        let after_resource = text.get(at + RESOURCE.len()..)?;
        let after = SIGNALS.iter().find_map(|name| after_resource.strip_prefix(name))?;
        Some(Around { before, after })
    })
}

/// The start of the next object that begins with a marker.
pub(super) fn marked_object(text: &str, from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        // Both markers contain the old one.
        let at = from + FIND_OLD_MARKER.find(text.get(from..)?.as_bytes())?;
        from = at + OLD_MARKER.len();
        let around = |marker: &str, start: usize| {
            let after = text.get(start..)?.strip_prefix(marker)?;
            Some(Around { before: text.get(..start)?, after })
        };
        let standard = at.checked_sub(1).and_then(|start| around(MARKER, start));
        let Some(Around { before, after }) = standard.or_else(|| around(COMPACT_MARKER, at)) else {
            continue;
        };
        let before_key = before.strip_suffix('"').unwrap_or_default().trim_end();
        if let Some(before_object) = before_key.strip_suffix('{')
            && !after.starts_with('\\')
            && is_key(after)
        {
            return Some(before_object.len());
        }
    }
}

/// Returns `true` if `after` follows the name of a key: a quote, a colon and a value, possibly truncated, with backslashes in a
/// string. Otherwise the name is ordinary text, for example about OTLP lines.
fn is_key(after: &str) -> bool {
    let after_backslashes = after.trim_start_matches('\\');
    after_backslashes.is_empty()
        || after_backslashes.strip_prefix('"').map(str::trim_start).is_some_and(|after_quote| {
            match after_quote.strip_prefix(':') {
                Some(value) => may_begin_value(value.trim_start()),
                None => after_quote.is_empty(),
            }
        })
}

/// Returns `true` if `text` may begin with a JSON value, in a string or not, possibly truncated.
fn may_begin_value(text: &str) -> bool {
    let begins = |character: char| character.is_ascii_digit() || "\"\\{[-".contains(character);
    text.is_empty()
        || text.starts_with(begins)
        || ["null", "true", "false"].iter().any(|word| text.starts_with(word))
}

/// Returns `true` if the truncated object at the start of `text` was an OTLP line or contained one: the marker is a key in it, or
/// its first key, or that of an object inside, belongs to another kind of line.
pub(super) fn broken_object_claims(text: &str) -> bool {
    FIND_MARKER.find_iter(text.as_bytes()).any(|at| {
        let before = text.get(..at);
        let after = text.get(at + MARKER.len()..);
        before.is_some_and(|before| before.ends_with('"')) && after.is_some_and(is_key)
    }) || first_key_claims(text)
        || signal_names(text).any(|Around { before, after }| {
            is_key(after) && before_first_key(before).is_some_and(ends_as_wrapper)
        })
}

/// The text before the object with the first key that follows `before`.
fn before_first_key(before: &str) -> Option<&str> {
    before.strip_suffix('"')?.trim_end_matches('\\').trim_end().strip_suffix('{')
}

/// Returns `true` if the value of a log record's key follows, as object or text.
fn ends_as_wrapper(before: &str) -> bool {
    let before = before.strip_suffix('"').unwrap_or(before).trim_end_matches('\\').trim_end();
    let key = before
        .strip_suffix(':')
        .and_then(|before| before.trim_end().strip_suffix('"'))
        .map(|key| key.trim_end_matches('\\'));
    key.is_some_and(|key| WRAPPERS.iter().any(|wrapper| key.ends_with(wrapper)))
}

fn first_key_claims(text: &str) -> bool {
    let Some(in_object) = text.strip_prefix('{') else { return false };
    let Some((name, after)) =
        in_object.trim_start().strip_prefix('"').and_then(|text| text.split_once('"'))
    else {
        return false;
    };
    let Some(value) = after.trim_start().strip_prefix(':').map(str::trim_start) else {
        return false;
    };
    name == OLD_MARKER
        || name == COMPACT_MARKER
        || (signal_of_key(name).is_some() && (value.is_empty() || value.starts_with('[')))
        || (name == RESOURCE && value.starts_with('{') && has_scopes(value))
}

/// Returns `true` if the text begins with an OTLP line, and therefore continues no earlier one.
pub(super) fn begins_line(text: &str) -> bool {
    let begun = text.trim_start_matches(is_blank);
    let text = begun.get(prefix_len(begun)..).unwrap_or_default().trim_start();
    first_key_claims(text) || marked_object(text.get(..200).unwrap_or(text), 0) == Some(0)
}

/// The start of an object at the beginning of the text, or after a runtime's prefix.
pub(super) fn first_object(text: &str) -> usize {
    let blank = |text: &str| text.len() - text.trim_start_matches(is_blank).len();
    let start = blank(text);
    let first = start + text.get(start..).map_or(0, prefix_len);
    first + text.get(first..).map_or(0, blank)
}

/// Length of the prefix before the logged text; 0 without one.
pub(super) fn prefix_len(text: &str) -> usize {
    match runtime_prefix_len(text) {
        0 => java::prefix_len(text),
        len => len,
    }
}

/// Length of the prefix that Lambda's Node and Python runtimes put before logged text: `TIME\tREQUEST_ID\tLEVEL\t` and
/// `[LEVEL]\tTIME\tREQUEST_ID\t` (aws-lambda-ric `LogPatch.js`, awslambdaric `bootstrap.py`); 0 without one.
fn runtime_prefix_len(text: &str) -> usize {
    const LONGEST: usize = 160;
    let tab = |from: usize| {
        let window = text.as_bytes().get(from..)?;
        Some(from + memchr(b'\t', window.get(..LONGEST).unwrap_or(window))?)
    };
    let Some(first) = tab(0) else { return 0 };
    let Some(second) = tab(first + 1) else { return 0 };
    let Some(third) = tab(second + 1) else { return 0 };
    let field = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let first_field = field(0, first);
    let second_field = field(first + 1, second);
    let third_field = field(second + 1, third);
    let is_time = |field: &str| field.starts_with("20") && field.ends_with('Z');
    // During init the request id is `undefined` or missing.
    let is_id = |field: &str| !field.contains(' ');
    let is_level = |field: &str| field.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_in_brackets = |field: &str| field.starts_with('[') && field.ends_with(']');
    let is_of_node = is_time(first_field) && is_id(second_field) && is_level(third_field);
    let is_of_python = is_in_brackets(first_field) && is_time(second_field) && is_id(third_field);
    if is_of_node || is_of_python { third + 1 } else { 0 }
}
