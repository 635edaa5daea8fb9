//! Reads the output of Lambda and of functions' loggers.
//!
//! `text` (Lambda's text lines) and `telemetry` (Telemetry API events, JSON system lines) parse Lambda's own events into the
//! model of [`crate::event`]. `line` reads the function's lines: `head` what precedes the message, `keys` what the keys of
//! structured lines mean, `severity` which words are levels, `crash` the reports of failed programs, `stack` the frames
//! in them, and `fingerprint` recognises the same failure again. A new logger needs a row in
//! one of these tables, and a row in `tests/fixtures/loggers.jsonl`.

use crate::event::PlatformEvent;

pub(crate) mod crash;
pub(crate) mod exceptions;
pub(crate) mod fields;
pub(crate) mod fingerprint;
pub(crate) mod head;
pub(crate) mod ids;
pub(crate) mod keys;
pub(crate) mod line;
pub(crate) mod logfmt;
pub(crate) mod runtime_error;
pub(crate) mod runtime_text;
pub(crate) mod severity;
pub(crate) mod stack;
pub(crate) mod steps;
pub(crate) mod telemetry;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod value;
pub(crate) mod whole_line;

/// Reads one of Lambda's own lines, in text or JSON. Returns `None` for a line of the function.
pub fn platform_event(message: &str) -> Option<PlatformEvent> {
    text::parse(message).or_else(|| telemetry::parse_line(message))
}

/// Returns `true` if the text begins with one of these.
pub(crate) fn begins(text: &str, with: &[&str]) -> bool {
    let first = text.as_bytes().first();
    // Nearly all differ in their first byte.
    with.iter().any(|begin| begin.as_bytes().first() == first && text.starts_with(begin))
}

#[cfg(test)]
mod combinations;
#[cfg(test)]
mod tests;
