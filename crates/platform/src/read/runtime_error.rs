//! Reads the line that a runtime prints for each failed invocation.
//!
//! AWS's events do not show a handler's error: `platform.runtimeDone` says `success`, and REPORT nothing. The runtime's own line
//! does. A function can print the same text, so only the exact form counts. Two lines look like a logged one, and count only as the
//! last line of their invocation: that of Node's runtime in Lambda's JSON format, which equals `console.error(error)`, and that of
//! Rust's `lambda_runtime` without its target, which equals `error!`.
//!
//! Sources: `tests/fixtures/runtime-errors.jsonl` names them for each form.

use crate::event::truncated;
use crate::read::begins;
use crate::read::crash::{NamedException, is_frame, is_type, names_exception};
use crate::read::fields::{Fields, text_of};
use crate::read::ids::{UUID_BYTES, is_uuid};
use crate::read::severity::without_colours;
use crate::read::time::stated_time;
use wire::SpanError;

/// Error type and message of a failed invocation, as far as the evidence states them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub error_type: Option<String>,
    pub message: Option<String>,
}

/// The error type of a failure whose type is unknown ("General attributes", `error.type`).
const UNKNOWN: &str = "_OTHER";

impl Failure {
    const MAX_BYTES: usize = 2048;

    pub(crate) fn new(error_type: &str, message: &str) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| truncated(text, Self::MAX_BYTES));
        Self { error_type: text(error_type), message: text(message) }
    }
}

impl Failure {
    /// Returns `true` for the error of a handler that returned a result: a response of status 500, or a partly failed batch.
    pub(crate) fn is_result(error: &SpanError<'_>) -> bool {
        error.error_type == "batch_item_failures"
            || error.error_type.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The failure of an invocation that its span states. A response of status 500 and a partly failed batch are none for Lambda,
    /// and of a timeout or a process that ended Lambda knows more.
    pub(crate) fn from_span(error: &SpanError<'_>) -> Option<Self> {
        const CUT_OFF: [&str; 3] = ["timeout", "shutdown", "cancelled"];
        let is_failure = !Self::is_result(error) && !CUT_OFF.contains(&error.error_type);
        // The layer's span of a failure of which it knows no more has these words.
        let text = |own| if own == UNKNOWN { "" } else { own };
        is_failure.then(|| Self::new(text(error.error_type), text(error.message)))
    }
}

/// A runtime's line about a failed invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeError {
    /// The invocation, if the line names it.
    pub(crate) request_id: Option<String>,
    pub(crate) failure: Failure,
    pub(crate) proof: Proof,
}

/// Whether only a runtime writes such a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Certain,
    /// A logger writes it too. A runtime prints nothing after it.
    IfLast,
}

impl RuntimeError {
    fn certain(request_id: Option<String>, failure: Failure) -> Self {
        Self { request_id, failure, proof: Proof::Certain }
    }

    fn unnamed(failure: Failure) -> Self {
        Self::certain(None, failure)
    }

    /// Reads a log event. First bytes exclude nearly all.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let plain = without_colours(text);
        let text = plain.trim_end();
        match *text.as_bytes().first()? {
            b'{' => read_object(text),
            b'[' => read_python(text).map(Self::unnamed),
            b'E' | b'C' if begins(text, &RUBY) => read_ruby(text).map(Self::unnamed),
            b'E' if text.starts_with(RUST) => read_rust(text),
            b'0'..=b'9' | b'a'..=b'f' => {
                read_prefix(text).or_else(|| read_java(text).map(Self::unnamed))
            }
            _ => read_java(text).map(Self::unnamed),
        }
    }

    /// Returns `true` if the text may be such a line although no level is read in it.
    #[inline]
    pub(crate) fn may_lack_a_level(text: &str) -> bool {
        matches!(text.as_bytes().first(), Some(b'E' | b'C')) && begins(text, &RUBY)
    }
}

/// `[ERROR] ValueError: no stock`, a traceback after it. A logger's line has the exception's name after the frames.
fn read_python(text: &str) -> Option<Failure> {
    const TRACEBACK: &str = "Traceback (most recent call last):";
    let text = text.strip_prefix("[ERROR] ")?;
    let at = text.find(TRACEBACK)?;
    let (before, frames) = text.split_at_checked(at)?;
    let error = before.strip_suffix(['\r', '\n'])?;
    let (kind, message) = error.split_once(": ").unwrap_or((error, ""));
    let last = frames.rsplit(['\r', '\n']).next()?;
    let is_frame = last.starts_with([' ', '\u{a0}']) || last.starts_with(TRACEBACK);
    (is_frame && names_exception(kind)).then(|| Failure::new(kind, message))
}

const RUBY: [&str; 2] = ["Error raised from handler method", "Critical exception from handler"];

/// The words before the object with the error, which is a log event of its own if the runtime has no pipe to Lambda.
fn read_ruby(text: &str) -> Option<Failure> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if !RUBY.contains(&first.trim_end()) {
        return None;
    }
    let object = Fields::of(rest).and_then(|fields| bare(&fields));
    Some(object.unwrap_or_default())
}

const RUST: &str = "ERROR Lambda runtime invoke{";
const RUST_LAYER: &str = "lambda_runtime::layers::panic";
const RUST_PANIC: &str = "user handler panicked";

/// `ERROR Lambda runtime invoke{requestId="ID" …}: lambda_runtime::layers::panic: no stock`; without the target, only a panic's
/// line is certain. The runtime's default subscriber writes neither time nor target.
fn read_rust(text: &str) -> Option<RuntimeError> {
    let (_, after_name) = text.split_once(RUST)?;
    let (span, rest) = after_name.split_once("}: ")?;
    let of_layer = rest.strip_prefix(RUST_LAYER).and_then(|rest| rest.strip_prefix(": "));
    let (message, proof) = match of_layer {
        Some(message) => (message, Proof::Certain),
        None if rest.starts_with("user handler panicked error=") => (rest, Proof::Certain),
        None if begins_with_target(rest) => return None,
        None => (rest, Proof::IfLast),
    };
    let id = span.strip_prefix("requestId=\"").and_then(|rest| rest.split_at_checked(UUID_BYTES));
    Some(RuntimeError {
        request_id: id.map(|(id, _)| id).filter(|id| is_uuid(id)).map(str::to_ascii_lowercase),
        failure: rust_failure(message),
        proof,
    })
}

/// Returns `true` for `shop::orders: no stock`.
fn begins_with_target(text: &str) -> bool {
    let Some((path, _)) = text.split_once(": ") else { return false };
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    path.contains("::") && path.chars().all(is_of_path)
}

fn rust_failure(message: &str) -> Failure {
    let kind = if message.starts_with(RUST_PANIC) { "panic" } else { "" };
    Failure::new(kind, message)
}

/// The lines of Node's, .NET's, Bref's, Go's and Rust's runtimes, after a time, a request id, or both.
fn read_prefix(text: &str) -> Option<RuntimeError> {
    if let Some((id, rest)) = request_id(text) {
        // Bref.
        let object = rest.strip_prefix("Invoke Error\t")?;
        return Some(RuntimeError::certain(Some(id), error_of(object)?));
    }
    let time = stated_time(text).filter(|time| time.has_clock)?;
    let rest = text.get(time.bytes..)?;
    if let Some(rest) = rest.strip_prefix('\t') {
        return match request_id(rest) {
            Some((id, rest)) => {
                read_level(rest).map(|failure| RuntimeError::certain(Some(id), failure))
            }
            None => read_level(rest.strip_prefix("undefined\t")?).map(RuntimeError::unnamed),
        };
    }
    let rest = rest.trim_start_matches(' ');
    if rest.starts_with('{') {
        // Go's `log`.
        return Fields::of(rest).and_then(|fields| bare(&fields)).map(RuntimeError::unnamed);
    }
    if !rest.starts_with(RUST) {
        return None;
    }
    // Loggers write a time, and the runtime's default subscriber writes none: here only a certain line counts.
    read_rust(rest).filter(|error| error.proof == Proof::Certain)
}

/// A request id and the text after its tab.
fn request_id(text: &str) -> Option<(String, &str)> {
    let (id, tab_and_rest) = text.split_at_checked(UUID_BYTES)?;
    let rest = tab_and_rest.strip_prefix('\t').filter(|_| is_uuid(id))?;
    Some((id.to_ascii_lowercase(), rest))
}

/// The level and the message of Node's or .NET's runtime.
fn read_level(text: &str) -> Option<Failure> {
    const NODE: [&str; 3] =
        ["Invoke Error ", "Uncaught Exception ", "Unhandled Promise Rejection "];
    if let Some(message) = text.strip_prefix("ERROR\t") {
        let (words, object) = message.split_once('\t')?;
        return error_of(object)
            .filter(|_| NODE.iter().any(|own| own.trim_end() == words.trim_end()));
    }
    dotnet(text.strip_prefix("fail\t")?)
}

/// The text of .NET's exception, without a message of a logger before it.
fn dotnet(text: &str) -> Option<Failure> {
    let (first, frames) = text.split_once('\n')?;
    let NamedException { kind, message } = NamedException::split(first.trim_end());
    let is_trace = frames.lines().any(|line| line.starts_with("   at "));
    (is_trace && is_type(kind) && kind.contains('.')).then(|| Failure::new(kind, message))
}

/// `no stock: java.lang.IllegalStateException`, and below it the stack trace with both in the other order.
fn read_java(text: &str) -> Option<Failure> {
    let (first, others) = text.split_once('\n')?;
    let (before, trace) = java_parts(first, text, others)?;
    let (message, kind) = before.rsplit_once(": ")?;
    if !is_type(kind) || !kind.contains('.') {
        return None;
    }
    let after_kind = trace.strip_prefix(kind)?;
    let after = match after_kind.strip_prefix(": ") {
        Some(text) => text.strip_prefix(message)?,
        // Without a message, the runtime writes the type in its place.
        None if message == kind => after_kind,
        None => return None,
    };
    let rest = after.trim_start_matches(['\r', '\n']);
    (rest.is_empty() || rest.lines().next().is_some_and(is_frame))
        .then(|| Failure::new(kind, if message == kind { "" } else { message }))
}

/// The summary and the stack trace. A message may have several lines, which the trace repeats.
fn java_parts<'t>(first: &'t str, text: &'t str, rest: &'t str) -> Option<(&'t str, &'t str)> {
    const MAX_LINES: usize = 16;
    let mut summary_end = first.len();
    let mut rest = rest;
    for _ in 0..MAX_LINES {
        let summary = text.get(..summary_end)?.trim_end();
        let kind = summary.rsplit(": ").next()?;
        if is_type(kind) && kind.contains('.') && rest.starts_with(kind) {
            return Some((summary, rest));
        }
        let (line, after) = rest.split_once('\n')?;
        if line.starts_with('\t') {
            return None;
        }
        summary_end = text.len() - after.len() - 1;
        rest = after;
    }
    None
}

/// An object with an error's type and message, and perhaps others: `{"errorType":"TypeError","errorMessage":"no stock",…}`.
fn error_of(object: &str) -> Option<Failure> {
    let fields = Fields::of(object)?;
    let kind = fields.text("errorType")?;
    let message = fields.text("errorMessage")?;
    Some(Failure::new(&kind, &message))
}

/// An error as Go's and Ruby's runtimes write it: an object with nothing else.
fn bare(fields: &Fields<'_>) -> Option<Failure> {
    const OWN: [&str; 3] = ["errorMessage", "errorType", "stackTrace"];
    let kind = fields.text("errorType")?;
    let message = fields.text("errorMessage")?;
    let is_bare = fields.pairs.iter().all(|(key, _)| OWN.contains(&key.as_ref()));
    is_bare.then(|| Failure::new(&kind, &message))
}

/// A record of Lambda's JSON format, or Go's or Ruby's object alone.
fn read_object(text: &str) -> Option<RuntimeError> {
    let fields = Fields::of(text)?;
    if let Some(failure) = bare(&fields) {
        return Some(RuntimeError::unnamed(failure));
    }
    let level = fields.text("level")?;
    if !level.eq_ignore_ascii_case("error") {
        return None;
    }
    let id = fields.text("requestId").or_else(|| fields.text("AWSRequestId"));
    let in_record = id.filter(|id| is_uuid(id)).map(|id| id.to_ascii_lowercase());
    let (failure, proof) = read_record(&fields, in_record.is_some())?;
    let request_id = in_record.or_else(|| read_rust_span(&fields));
    Some(RuntimeError { request_id, failure, proof })
}

/// The request id in the span of Rust's runtime.
fn read_rust_span(fields: &Fields<'_>) -> Option<String> {
    let id = Fields::of(fields.get("span")?.get())?.text("requestId")?;
    is_uuid(&id).then(|| id.to_ascii_lowercase())
}

fn read_record(fields: &Fields<'_>, has_request_id: bool) -> Option<(Failure, Proof)> {
    let certain = |failure| (failure, Proof::Certain);
    let error = || {
        let kind = fields.text("errorType")?;
        let message = fields.text("errorMessage")?;
        Some(Failure::new(&kind, &message))
    };
    let message = fields.get("message").map(text_of);
    match message {
        // Python's runtime writes no message, and its loggers always one.
        None if fields.get("target").is_some() => read_rust_record(fields),
        None if fields.get("logger").is_none() && fields.get("stackTrace").is_some() => {
            error().map(certain)
        }
        // .NET's runtime has only the exception.
        Some(Some(message)) if message.is_empty() && fields.get("stackTrace").is_some() => {
            error().map(certain)
        }
        Some(Some(message)) if has_request_id => read_java(message.trim_end()).map(certain),
        Some(None) if has_request_id => read_node_record(fields),
        _ => read_rust_record(fields),
    }
}

/// Node's error is the message, with exactly these keys.
fn read_node_record(fields: &Fields<'_>) -> Option<(Failure, Proof)> {
    const OWN: [&str; 4] = ["timestamp", "level", "requestId", "message"];
    let is_bare = fields.pairs.iter().all(|(key, _)| OWN.contains(&key.as_ref()));
    let error = Fields::of(fields.get("message")?.get()).filter(|_| is_bare)?;
    error.get("stackTrace")?;
    let failure = Failure::new(&error.text("errorType")?, &error.text("errorMessage")?);
    Some((failure, Proof::IfLast))
}

fn read_rust_record(fields: &Fields<'_>) -> Option<(Failure, Proof)> {
    let inner = Fields::of(fields.get("fields")?.get())?;
    let message = inner.text("message")?;
    let target = fields.text("target");
    let is_panic = message == RUST_PANIC && inner.get("error").is_some();
    let proof = match target.as_deref() {
        Some(RUST_LAYER) => Proof::Certain,
        _ if is_panic => Proof::Certain,
        // The runtime's default subscriber writes neither time nor target.
        None if fields.get("timestamp").is_none() => Proof::IfLast,
        _ => return None,
    };
    if proof == Proof::IfLast {
        read_rust_span(fields)?;
    }
    Some((rust_failure(&message), proof))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::merge;
    use serde::Deserialize;
    use test_support::runtime_error_cases;

    #[test]
    fn only_the_runtimes_own_lines_are_read() {
        for row in runtime_error_cases() {
            let name = format!("{}, {}", row.runtime, row.format);
            let mut known = None;
            for line in &row.lines {
                let error = RuntimeError::read(line).unwrap_or_else(|| panic!("{name}: {line:?}"));
                merge(&mut known, error.failure);
            }
            if let Some(failure) = known {
                assert_eq!(failure.error_type.unwrap_or_default(), row.error_type, "{name}");
                if let Some(message) = row.message {
                    assert_eq!(failure.message, Some(message), "{name}");
                }
            }
            let is_certain = |line: &str| {
                RuntimeError::read(line).is_some_and(|error| error.proof == Proof::Certain)
            };
            assert!(row.lines.iter().all(|line| is_certain(line) != row.only_last), "{name}");
            assert!(!row.logged.iter().any(|line| is_certain(line)), "{name}");
        }
    }

    #[test]
    fn prose_and_the_lines_of_loggers_are_no_runtimes_errors() {
        #[derive(Deserialize)]
        struct Logger {
            logger: String,
            messages: Vec<String>,
        }
        // These rows of loggers are runtimes' lines.
        const OF_RUNTIMES: [&str; 3] =
            ["failed handler", "unhandled in Lambda", "aws-lambda-go, failed handler"];
        for line in include_str!("../../../../tests/fixtures/prose.txt").lines() {
            assert_eq!(RuntimeError::read(line), None, "{line}");
        }
        for row in include_str!("../../../../tests/fixtures/loggers.jsonl").lines() {
            let row: Logger = serde_json::from_str(row).unwrap();
            let is_of_runtime = OF_RUNTIMES.contains(&row.logger.as_str());
            let mut read = row.messages.iter().filter_map(|text| RuntimeError::read(text));
            let is_certain = read.any(|error| error.proof == Proof::Certain);
            assert_eq!(is_certain, is_of_runtime, "{}", row.logger);
        }
    }
}
