//! Parses Lambda's text lines (START, END, REPORT, INIT_REPORT, failures, …) into the event model.
//!
//! Source: Lambda Developer Guide, "Understanding the Lambda execution environment lifecycle" (REPORT, INIT_REPORT,
//! RESTORE_REPORT, failures in the older and in the newer notation) and captured events.
//!
//! Fields are separated by tabs in reality and by spaces in the documentation. Both are accepted in any order, and labels may be
//! missing. An unknown label is kept with the rest of its text up to the next tab. A function can print anything, so a line counts
//! as Lambda's only with the whole shape: keyword, label and a request id that is a UUID.

use crate::event::{EventKind, Figures, PlatformEvent, plausible};
use crate::read::begins;
use crate::read::ids::{UUID_BYTES, is_uuid};
use crate::read::time::split_utc_time;

/// Lambda's own lines have a few hundred bytes; a longer line is the function's.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Reads one log event's message. Returns `None` if Lambda did not write it.
///
/// Ordinary lines are cheap: most are excluded by their first byte or word.
pub(crate) fn parse(message: &str) -> Option<PlatformEvent> {
    let (keyword, rest) = match *message.as_bytes().first()? {
        b'0'..=b'9' => return timed_out(bounded(message)?),
        b'R' | b'S' | b'E' | b'I' | b'T' | b'L' => bounded(message)?.split_once([' ', '\t'])?,
        _ => return None,
    };
    match keyword {
        "REPORT" => report(rest),
        "START" => start_or_end(EventKind::Start, rest),
        "END" => start_or_end(EventKind::End, rest),
        "RequestId:" => failure(rest),
        "INIT_START" => labelled(EventKind::InitStart, rest, &["Runtime Version"]),
        "RESTORE_START" => labelled(EventKind::RestoreStart, rest, &["Runtime Version"]),
        "INIT_REPORT" => {
            let labels = ["Init Duration", "Phase", "Status", "Error Type"];
            labelled(EventKind::InitReport, rest, &labels)
        }
        "RESTORE_REPORT" => {
            let labels = ["Restore Duration", "Status", "Error Type"];
            labelled(EventKind::RestoreReport, rest, &labels)
        }
        "EXTENSION" => extension(EventKind::Extension, rest),
        "TELEMETRY" | "LOGS" => extension(EventKind::TelemetrySubscription, rest),
        _ => None,
    }
}

/// Returns `true` for one of Lambda's own lines, by its beginning, which is cheaper than [`parse`].
pub(crate) fn is_platform(line: &str) -> bool {
    let words: &[&str] = match line.as_bytes().first() {
        Some(b'S') => &["START RequestId: "],
        Some(b'E') => &["END RequestId: ", "EXTENSION\tName: "],
        Some(b'R') => &["REPORT RequestId: ", "RequestId: ", "RESTORE_"],
        Some(b'I') => &["INIT_START ", "INIT_REPORT "],
        Some(b'T') => &["TELEMETRY\tName: "],
        Some(b'L') => &["LOGS\tName: "],
        Some(b'0'..=b'9') => {
            return line.trim_ascii_end().ends_with(" seconds") && parse(line).is_some();
        }
        _ => &[],
    };
    begins(line, words)
}

fn bounded(message: &str) -> Option<&str> {
    (message.len() <= MAX_LINE_BYTES).then_some(message)
}

/// `RequestId: <uuid>` and the text after the request id, separated by white space.
fn request_id(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("RequestId: ")?;
    leading_uuid(text)
}

fn leading_uuid(text: &str) -> Option<(&str, &str)> {
    let (id, rest) = text.split_at_checked(UUID_BYTES)?;
    let is_apart = rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace());
    (is_uuid(id) && is_apart).then_some((id, rest))
}

/// Reads the text after `REPORT `. Only labels may follow the request id: `REPORT RequestId: <uuid> is late` is an ordinary line.
fn report(rest: &str) -> Option<PlatformEvent> {
    let (id, rest) = request_id(rest)?;
    let fields = rest.trim_start();
    // Nearly all reports begin so; the search below would find the same colon.
    let has_labels = fields.is_empty()
        || fields.starts_with("Duration: ")
        || (fields.starts_with(|c: char| c.is_ascii_uppercase()) && fields.contains(": "));
    has_labels.then(|| of_request(EventKind::Report, id, fields))
}

/// Reads the text after `START ` or `END `.
fn start_or_end(kind: EventKind, rest: &str) -> Option<PlatformEvent> {
    let (id, rest) = request_id(rest)?;
    let fields = rest.trim_start();
    let is_lambdas = fields.is_empty() || fields.starts_with("Version: ");
    is_lambdas.then(|| of_request(kind, id, fields))
}

fn of_request(kind: EventKind, id: &str, fields: &str) -> PlatformEvent {
    let mut event = PlatformEvent::new(kind);
    event.request_id = Some(id.to_ascii_lowercase());
    read_fields(fields, &mut event);
    event
}

/// Reads a line without a request id: one of these labels must follow the keyword directly.
fn labelled(kind: EventKind, rest: &str, first: &[&str]) -> Option<PlatformEvent> {
    let fields = rest.trim_start();
    let begins = first.iter().any(|label| after_label(fields, label).is_some());
    begins.then(|| {
        let mut event = PlatformEvent::new(kind);
        read_fields(fields, &mut event);
        event.set_duration_of_phase();
        event
    })
}

/// Reads an `EXTENSION`, `TELEMETRY` or `LOGS` line, which names an extension and its state.
fn extension(kind: EventKind, rest: &str) -> Option<PlatformEvent> {
    let event = labelled(kind, rest, &["Name"])?;
    event.state.is_some().then_some(event)
}

/// `<time> <uuid> Task timed out after 3.00 seconds`, in the older notation.
fn timed_out(message: &str) -> Option<PlatformEvent> {
    let (time, after_time) = split_utc_time(message)?;
    let is_time = time.len() >= "2024-03-04T17:22:38Z".len() && time.contains('T');
    let (id, rest) = leading_uuid(after_time)?;
    let text = rest.trim();
    let digits = text.strip_prefix("Task timed out after ")?.strip_suffix(" seconds")?;
    let seconds = decimal(digits)?;
    is_time.then(|| PlatformEvent {
        request_id: Some(id.to_ascii_lowercase()),
        message: Some(text.to_owned()),
        figures: Figures { timeout_ms: plausible(seconds * 1000.0), ..Figures::default() },
        ..PlatformEvent::new(EventKind::Timeout)
    })
}

/// The text after `RequestId: ` in the older failure lines: `<uuid> Error: Runtime exited …`, with the error type on the next
/// line, or `<uuid> Process exited before completing request`.
fn failure(rest: &str) -> Option<PlatformEvent> {
    let (id, rest) = leading_uuid(rest)?;
    let text = rest.trim();
    let error_type = text.lines().last().map(str::trim).filter(|line| is_platform_error_type(line));
    let is_lambdas = text.starts_with("Process exited before completing request")
        || text.starts_with("Error: Runtime exited")
        || (text.starts_with("Error: ") && error_type.is_some());
    if !is_lambdas {
        return None;
    }
    // Without a timeout by Lambda, a runtime gets SIGKILL only from the kernel, for exhausted memory.
    let is_out_of_memory = error_type == Some("Runtime.OutOfMemory")
        || text.lines().next().is_some_and(|line| line.ends_with("signal: killed"));
    let kind = if is_out_of_memory { EventKind::OutOfMemory } else { EventKind::ExitError };
    Some(PlatformEvent {
        request_id: Some(id.to_ascii_lowercase()),
        error_type: error_type.map(str::to_owned),
        message: text.lines().next().map(|line| line.trim_end().to_owned()),
        ..PlatformEvent::new(kind)
    })
}

/// Returns `true` for one word such as `Runtime.ExitError` or `Extension.Crash`: a category of the platform, a point, and a
/// reason.
fn is_platform_error_type(text: &str) -> bool {
    let Some((category, reason)) = text.split_once('.') else { return false };
    matches!(category, "Runtime" | "Extension" | "Sandbox" | "Function" | "Task")
        && !reason.is_empty()
        && reason.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_')
}

/// The kind of a label's value, with the field that keeps it.
#[derive(Clone, Copy)]
enum LabelValue {
    /// A number and its unit.
    Figure(&'static str, fn(&mut PlatformEvent) -> &mut Option<f64>),
    Word(fn(&mut PlatformEvent) -> &mut Option<String>),
    Sampled,
    /// The value is read elsewhere.
    Ignored,
}

/// All labels with their colons. No label is a prefix of another, so the order does not matter.
const LABELS: &[(&str, LabelValue)] = &[
    ("Duration", LabelValue::Figure("ms", |event| &mut event.figures.duration_ms)),
    ("Billed Duration", LabelValue::Figure("ms", |event| &mut event.figures.billed_duration_ms)),
    ("Memory Size", LabelValue::Figure("MB", |event| &mut event.figures.memory_size_mb)),
    ("Max Memory Used", LabelValue::Figure("MB", |event| &mut event.figures.max_memory_used_mb)),
    ("Init Duration", LabelValue::Figure("ms", |event| &mut event.figures.init_duration_ms)),
    ("Restore Duration", LabelValue::Figure("ms", |event| &mut event.figures.restore_duration_ms)),
    (
        "Billed Restore Duration",
        LabelValue::Figure("ms", |event| &mut event.figures.billed_restore_duration_ms),
    ),
    ("Status", LabelValue::Word(|event| &mut event.status)),
    ("Error Type", LabelValue::Word(|event| &mut event.error_type)),
    ("Phase", LabelValue::Word(|event| &mut event.phase)),
    ("Version", LabelValue::Word(|event| &mut event.version)),
    ("Runtime Version", LabelValue::Word(|event| &mut event.runtime_version)),
    ("Runtime Version ARN", LabelValue::Word(|event| &mut event.runtime_version_arn)),
    ("Name", LabelValue::Word(|event| &mut event.name)),
    ("State", LabelValue::Word(|event| &mut event.state)),
    ("XRAY TraceId", LabelValue::Word(|event| &mut event.tracing.trace_id)),
    ("SegmentId", LabelValue::Word(|event| &mut event.tracing.segment_id)),
    ("Sampled", LabelValue::Sampled),
    ("RequestId", LabelValue::Ignored),
];

/// The rest of the text after `label:`, if it begins with it.
fn after_label<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.strip_prefix(label)?.strip_prefix(':')
}

fn known_label(text: &str) -> Option<(LabelValue, &str)> {
    LABELS.iter().find_map(|(label, kind)| Some((*kind, after_label(text, label)?)))
}

/// Reads `Label: value` fields. Tabs and line ends separate fields; a space does after the value of a known label.
fn read_fields(text: &str, event: &mut PlatformEvent) {
    for part in text.split(['\t', '\n', '\r']) {
        let mut rest = part.trim();
        while !rest.is_empty() {
            let Some((kind, value)) = known_label(rest) else {
                keep_unknown(rest, event);
                break;
            };
            rest = read_value(kind, value.trim_start(), event).trim_start();
        }
    }
}

/// Stores the value of a known label and returns the rest. The first of two values wins.
fn read_value<'a>(kind: LabelValue, value: &'a str, event: &mut PlatformEvent) -> &'a str {
    let (first, rest) = word(value);
    match kind {
        LabelValue::Figure(unit, field) => {
            let (found_unit, after_unit) = word(rest.trim_start());
            let figure = decimal(first).and_then(plausible).filter(|_| found_unit == unit);
            let field = field(event);
            *field = field.or(figure);
            return after_unit;
        }
        LabelValue::Word(field) => {
            let field = field(event);
            if field.is_none() && !first.is_empty() {
                *field = Some(first.to_owned());
            }
        }
        LabelValue::Sampled => event.tracing.sampled = event.tracing.sampled.or(first.parse().ok()),
        LabelValue::Ignored => {}
    }
    rest
}

fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A plain decimal number: no sign, no exponent, no names such as `NaN`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// Keeps an unknown field, whose value may have spaces.
fn keep_unknown(text: &str, event: &mut PlatformEvent) {
    if let Some((label, value)) = text.split_once(':')
        && event.other.len() < PlatformEvent::MAX_OTHER
    {
        event.other.push((label.trim().to_owned(), value.trim().to_owned()));
    }
}
