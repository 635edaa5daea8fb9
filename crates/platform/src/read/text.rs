//! Parses Lambda's text lines (START, END, REPORT, INIT_REPORT, failures, …) into the event model.
//!
//! Source: Lambda Developer Guide, "Understanding the Lambda execution environment lifecycle" (REPORT, INIT_REPORT,
//! RESTORE_REPORT, failures in the older and in the newer notation) and captured events.
//!
//! Fields are separated by tabs in reality and by spaces in the documentation. Both are accepted in any order, and missing or
//! unknown labels are harmless. A function can print anything, so a line counts as Lambda's only with the whole shape: keyword,
//! label and a request id that is a UUID.

use crate::event::plausible;
use crate::event::{EventKind, PlatformEvent};
use crate::read::ids::{UUID_BYTES, is_uuid};
use crate::read::time::behind_utc_time;

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
        "START" => bracket(EventKind::Start, rest),
        "END" => bracket(EventKind::End, rest),
        "RequestId:" => failure(rest),
        "INIT_START" => labelled(EventKind::InitStart, rest, &["Runtime Version"]),
        "RESTORE_START" => labelled(EventKind::RestoreStart, rest, &["Runtime Version"]),
        "INIT_REPORT" => {
            let mut event = labelled(
                EventKind::InitReport,
                rest,
                &["Init Duration", "Phase", "Status", "Error Type"],
            )?;
            event.figures.duration_ms = event.figures.init_duration_ms;
            Some(event)
        }
        "RESTORE_REPORT" => {
            let mut event = labelled(
                EventKind::RestoreReport,
                rest,
                &["Restore Duration", "Status", "Error Type"],
            )?;
            event.figures.duration_ms = event.figures.restore_duration_ms;
            Some(event)
        }
        "EXTENSION" => subscriber(EventKind::Extension, rest),
        "TELEMETRY" | "LOGS" => subscriber(EventKind::TelemetrySubscription, rest),
        _ => None,
    }
}

/// Returns `true` for one of Lambda's own lines, by its beginning, which is cheaper than [`parse`].
pub(crate) fn is_platform(line: &str) -> bool {
    let begins: &[&str] = match line.as_bytes().first() {
        Some(b'S') => &["START RequestId: "],
        Some(b'E') => &["END RequestId: ", "EXTENSION\tName: "],
        Some(b'R') => &["REPORT RequestId: ", "RequestId: ", "RESTORE_"],
        Some(b'I') => &["INIT_START ", "INIT_REPORT "],
        Some(b'T') => &["TELEMETRY\tName: "],
        Some(b'L') => &["LOGS\tName: "],
        Some(b'0'..=b'9') => return parse(line).is_some(),
        _ => &[],
    };
    begins.iter().any(|begin| line.starts_with(begin))
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
    let set_apart = rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace());
    (is_uuid(id) && set_apart).then_some((id, rest))
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
fn bracket(kind: EventKind, rest: &str) -> Option<PlatformEvent> {
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
        event
    })
}

/// Reads an `EXTENSION`, `TELEMETRY` or `LOGS` line, which names an extension and its state.
fn subscriber(kind: EventKind, rest: &str) -> Option<PlatformEvent> {
    let event = labelled(kind, rest, &["Name"])?;
    event.state.is_some().then_some(event)
}

/// `<time> <uuid> Task timed out after 3.00 seconds`, in the older notation.
fn timed_out(message: &str) -> Option<PlatformEvent> {
    let (time, rest) = behind_utc_time(message)?;
    let is_time = time.len() >= "2024-03-04T17:22:38Z".len() && time.contains('T');
    let (id, rest) = leading_uuid(rest)?;
    let text = rest.trim();
    let seconds = text.strip_prefix("Task timed out after ")?.strip_suffix(" seconds")?;
    let seconds = decimal(seconds)?;
    is_time.then(|| {
        let mut event = PlatformEvent::new(EventKind::Timeout);
        event.request_id = Some(id.to_ascii_lowercase());
        event.message = Some(text.to_owned());
        event.figures.timeout_ms = plausible(seconds * 1000.0);
        event
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
    let mut event = PlatformEvent::new(kind);
    event.request_id = Some(id.to_ascii_lowercase());
    event.error_type = error_type.map(str::to_owned);
    event.message = text.lines().next().map(|line| line.trim_end().to_owned());
    Some(event)
}

/// Returns `true` for one word such as `Runtime.ExitError` or `Extension.Crash`: a category of the platform, a point, and a
/// reason.
fn is_platform_error_type(text: &str) -> bool {
    let Some((category, reason)) = text.split_once('.') else { return false };
    matches!(category, "Runtime" | "Extension" | "Sandbox" | "Function" | "Task")
        && !reason.is_empty()
        && reason.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_')
}

#[derive(Clone, Copy)]
enum Slot {
    Milliseconds(fn(&mut PlatformEvent) -> &mut Option<f64>),
    Mebibytes(fn(&mut PlatformEvent) -> &mut Option<f64>),
    /// One word, or a bracketed list.
    Word(fn(&mut PlatformEvent) -> &mut Option<String>),
    Sampled,
    /// The value is read elsewhere or not needed. Knowing the label ends the value before it.
    Skip,
}

/// All labels with their colons. No label is a prefix of another, so the order does not matter.
const LABELS: &[(&str, Slot)] = &[
    ("Duration", Slot::Milliseconds(|event| &mut event.figures.duration_ms)),
    ("Billed Duration", Slot::Milliseconds(|event| &mut event.figures.billed_duration_ms)),
    ("Memory Size", Slot::Mebibytes(|event| &mut event.figures.memory_size_mb)),
    ("Max Memory Used", Slot::Mebibytes(|event| &mut event.figures.max_memory_used_mb)),
    ("Init Duration", Slot::Milliseconds(|event| &mut event.figures.init_duration_ms)),
    ("Restore Duration", Slot::Milliseconds(|event| &mut event.figures.restore_duration_ms)),
    (
        "Billed Restore Duration",
        Slot::Milliseconds(|event| &mut event.figures.billed_restore_duration_ms),
    ),
    ("Status", Slot::Word(|event| &mut event.status)),
    ("Error Type", Slot::Word(|event| &mut event.error_type)),
    ("Phase", Slot::Word(|event| &mut event.phase)),
    ("Version", Slot::Word(|event| &mut event.version)),
    ("Runtime Version", Slot::Word(|event| &mut event.runtime_version)),
    ("Runtime Version ARN", Slot::Word(|event| &mut event.runtime_version_arn)),
    ("Name", Slot::Word(|event| &mut event.name)),
    ("State", Slot::Word(|event| &mut event.state)),
    ("XRAY TraceId", Slot::Word(|event| &mut event.tracing.trace_id)),
    ("SegmentId", Slot::Word(|event| &mut event.tracing.segment_id)),
    ("Sampled", Slot::Sampled),
    ("RequestId", Slot::Skip),
];

/// The rest of the text after `label:`, if it begins with it.
fn after_label<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.strip_prefix(label)?.strip_prefix(':')
}

fn known_label(text: &str) -> Option<(Slot, &str)> {
    LABELS.iter().find_map(|(label, slot)| Some((*slot, after_label(text, label)?)))
}

/// Reads `Label: value` fields. Tabs and line ends always separate fields; a space does after a complete value of a known form.
fn read_fields(text: &str, event: &mut PlatformEvent) {
    for part in text.split(['\t', '\n', '\r']) {
        let mut rest = part.trim();
        while !rest.is_empty() {
            rest = match known_label(rest) {
                Some((slot, value)) => read_value(slot, value.trim_start(), event).trim_start(),
                None => read_unknown(rest, event),
            };
        }
    }
}

/// Stores the value of a known label and returns the rest. The first of two values wins.
fn read_value<'a>(slot: Slot, value: &'a str, event: &mut PlatformEvent) -> &'a str {
    match slot {
        Slot::Milliseconds(field) => {
            let (figure, rest) = figure(value, |unit| match unit {
                "" | "ms" => Some(1.0),
                "s" => Some(1000.0),
                _ => None,
            });
            let field = field(event);
            *field = field.or(figure);
            rest
        }
        Slot::Mebibytes(field) => {
            let (figure, rest) = figure(value, |unit| match unit {
                "" | "MB" | "MiB" => Some(1.0),
                "GB" | "GiB" => Some(1024.0),
                _ => None,
            });
            let field = field(event);
            *field = field.or(figure);
            rest
        }
        Slot::Word(field) => {
            let (word, rest) = word(value);
            let field = field(event);
            if field.is_none() && !word.is_empty() {
                *field = Some(word.to_owned());
            }
            rest
        }
        Slot::Sampled => {
            let (word, rest) = word(value);
            event.tracing.sampled = event.tracing.sampled.or(word.parse().ok());
            rest
        }
        Slot::Skip => word(value).1,
    }
}

/// The first word of a value, and the rest. The word is empty if the next label follows directly.
fn word(text: &str) -> (&str, &str) {
    if known_label(text).is_some() {
        return ("", text);
    }
    text.split_once(' ').unwrap_or((text, ""))
}

/// A number with or without a unit, and the rest. A following word that is not a unit belongs to the next label. A word that is
/// not a number is skipped.
fn figure(text: &str, scale: impl Fn(&str) -> Option<f64>) -> (Option<f64>, &str) {
    let (first, rest) = word(text);
    let digits = first.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let Some((number, unit)) = first.split_at_checked(digits) else { return (None, rest) };
    if !unit.is_empty() {
        let figure = decimal(number).zip(scale(unit)).and_then(|(n, scale)| plausible(n * scale));
        return (figure, rest);
    }
    let rest = rest.trim_start();
    let (next, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let (scale, rest) = match scale(next) {
        _ if next.is_empty() || known_label(rest).is_some() => (Some(1.0), rest),
        Some(scale) => (Some(scale), after),
        // For an unknown unit no figure is better than a wrong one.
        None if is_foreign_unit(next) => (None, after),
        None => (Some(1.0), rest),
    };
    (decimal(number).zip(scale).and_then(|(n, scale)| plausible(n * scale)), rest)
}

/// Returns `true` if a word after a number is a unit. The next label would begin with a capital followed by lower case.
fn is_foreign_unit(word: &str) -> bool {
    !word.ends_with(':') && word.len() <= 4 && !is_capitalised(word)
}

fn is_capitalised(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase) && letters.next().is_some_and(char::is_lowercase)
}

/// A plain decimal number: no sign, no exponent, no names such as `NaN`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// Keeps an unknown field and returns the text from the next known label on.
fn read_unknown<'a>(text: &'a str, event: &mut PlatformEvent) -> &'a str {
    let Some((label, value)) = text.split_once(':') else { return "" };
    let end = value
        .match_indices(' ')
        .map(|(at, _)| at)
        .find(|at| value.get(at + 1..).is_some_and(|next| known_label(next).is_some()))
        .unwrap_or(value.len());
    let (value, rest) = value.split_at_checked(end).unwrap_or((value, ""));
    if event.other.len() < PlatformEvent::MAX_OTHER {
        event.other.push((label.trim().to_owned(), value.trim().to_owned()));
    }
    rest.trim_start()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::{cases, event as show};

    /// A request id; expectations show its first eight digits.
    const ID: &str = "5b866fb1-7154-4af6-8078-6ef6ca4c2ddd";

    /// `{id}` in the line stands for a request id.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let event = parse(&line.replace("{id}", ID));
        assert_eq!(event.as_ref().map_or_else(|| String::from("-"), show), expected, "{line:?}");
    }

    /// Checks a table of lines, in which tabs and line ends are escaped.
    #[track_caller]
    fn check_all(table: &str) {
        for (line, expected) in cases(table) {
            let line = line.replace(r"\t", "\t").replace(r"\r", "\r").replace(r"\n", "\n");
            check(&line, expected);
        }
    }

    #[test]
    fn documented_and_captured_platform_lines_are_parsed() {
        check_all(
            r"
            INIT_START Runtime Version: python:3.12.v45\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:ab12\n
                => initStart runtime=python:3.12.v45 arn=arn:aws:lambda:us-east-1::runtime:ab12
            START RequestId: {id} Version: $LATEST\n => start id=5b866fb1 version=$LATEST
            END RequestId: {id}\n => end id=5b866fb1
            REPORT RequestId: {id}\tDuration: 619.31 ms\tBilled Duration: 700 ms\tMemory Size: 128 MB\tMax Memory Used: 118 MB\tInit Duration: 549.04 ms\t\n
                => report id=5b866fb1 duration=619.31 billed=700 memory=128 used=118 init=549.04
            REPORT RequestId: {id}\tDuration: 619.31 ms\tBilled Duration: 700 ms\tMemory Size: 128 MB\tMax Memory Used: 118 MB\t\nXRAY TraceId: 1-5e61292c-cc1229a4dfbeae1043928548\tSegmentId: 07a85e713f6302b2\tSampled: true\t\n
                => report id=5b866fb1 trace=1-5e61292c-cc1229a4dfbeae1043928548 segment=07a85e713f6302b2 sampled=true duration=619.31 billed=700 memory=128 used=118
            REPORT RequestId: {id}\tDuration: 2338.66 ms\tBilled Duration: 2521 ms\tMemory Size: 3009 MB\tMax Memory Used: 173 MB\tRestore Duration: 398.97 ms\tBilled Restore Duration: 182 ms\t\n
                => report id=5b866fb1 duration=2338.66 billed=2521 memory=3009 used=173 restore=398.97 billed_restore=182
            REPORT RequestId: {id} Duration: 133.61 ms Billed Duration: 214 ms Memory Size: 128 MB Max Memory Used: 31 MB Init Duration: 80.00 ms Status: error Error Type: Runtime.ExitError
                => report id=5b866fb1 status=error error=Runtime.ExitError duration=133.61 billed=214 memory=128 used=31 init=80
            REPORT RequestId: {id} Duration: 3016.78 ms Billed Duration: 3101 ms Memory Size: 128 MB Max Memory Used: 31 MB Init Duration: 84.00 ms Status: timeout
                => report id=5b866fb1 status=timeout duration=3016.78 billed=3101 memory=128 used=31 init=84
            INIT_REPORT Init Duration: 1236.04 ms Phase: init Status: timeout
                => initReport status=timeout phase=init duration=1236.04 init=1236.04
            INIT_REPORT Init Duration: 1236.04 ms\tPhase: init\tStatus: error\tError Type: Extension.Crash\n
                => initReport status=error error=Extension.Crash phase=init duration=1236.04 init=1236.04
            RESTORE_START Runtime Version: java:21.v12\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:ab12\n
                => restoreStart runtime=java:21.v12 arn=arn:aws:lambda:us-east-1::runtime:ab12
            RESTORE_REPORT Restore Duration: 1236.04 ms Status: timeout
                => restoreReport status=timeout duration=1236.04 restore=1236.04
            RESTORE_REPORT Restore Duration: 1236.04 ms\tStatus: error\tError Type: Runtime.ExitError\n
                => restoreReport status=error error=Runtime.ExitError duration=1236.04 restore=1236.04
            2024-03-04T17:22:38.033Z {id} Task timed out after 3.00 seconds\n\n
                => timeout id=5b866fb1 message=Task timed out after 3.00 seconds timeout=3000
            RequestId: {id} Error: Runtime exited without providing a reason\nRuntime.ExitError\n
                => exitError id=5b866fb1 error=Runtime.ExitError message=Error: Runtime exited without providing a reason
            RequestId: {id} Error: no order\nFunction.Orders.not_found\n
                => exitError id=5b866fb1 error=Function.Orders.not_found message=Error: no order
            RequestId: {id} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n
                => outOfMemory id=5b866fb1 error=Runtime.ExitError message=Error: Runtime exited with error: signal: killed
            RequestId: {id} Process exited before completing request\n
                => exitError id=5b866fb1 message=Process exited before completing request
            EXTENSION\tName: my-ext\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n
                => extension name=my-ext state=Ready other:Events=[INVOKE, SHUTDOWN]
            TELEMETRY\tName: my-ext\tState: Subscribed\tTypes: [Platform, Function]\n
                => telemetrySubscription name=my-ext state=Subscribed other:Types=[Platform, Function]
            LOGS\tName: my-ext\tState: Subscribed\tTypes: [Platform]\n
                => telemetrySubscription name=my-ext state=Subscribed other:Types=[Platform]
            ",
        );
    }

    #[test]
    fn failure_line_variants_are_parsed() {
        check_all(
            r"
            RequestId: {id} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n
                => exitError id=5b866fb1 error=Runtime.ExitError message=Error: Runtime exited with error: exit status 1
            RequestId: {id} Error: Runtime exited with error: signal: segmentation fault\nRuntime.ExitError\n
                => exitError id=5b866fb1 error=Runtime.ExitError message=Error: Runtime exited with error: signal: segmentation fault
            RequestId: {id} Error: fork/exec /var/task/bootstrap: exec format error\nRuntime.InvalidEntrypoint\n
                => exitError id=5b866fb1 error=Runtime.InvalidEntrypoint message=Error: fork/exec /var/task/bootstrap: exec format error
            RequestId: {id} Error: extension exited\nExtension.Crash
                => exitError id=5b866fb1 error=Extension.Crash message=Error: extension exited
            RequestId: {id} Error: no memory\nRuntime.OutOfMemory
                => outOfMemory id=5b866fb1 error=Runtime.OutOfMemory message=Error: no memory
            REPORT RequestId: {id}\tDuration: 1.00 ms\tStatus: error\tError Type: Runtime.OutOfMemory\n
                => report id=5b866fb1 status=error error=Runtime.OutOfMemory duration=1
            2024-03-04T17:22:38Z {id} Task timed out after 900 seconds
                => timeout id=5b866fb1 message=Task timed out after 900 seconds timeout=900000
            ",
        );
    }

    #[test]
    fn report_fields_may_be_reordered_missing_unknown_or_repeated() {
        check_all(
            r"
            REPORT RequestId: {id} => report id=5b866fb1
            REPORT RequestId: {id}\t\n => report id=5b866fb1
            REPORT RequestId: {id}\tStatus: timeout\tMax Memory Used: 31 MB\tDuration: 1 ms
                => report id=5b866fb1 status=timeout duration=1 used=31
            REPORT RequestId: {id} Init Duration: 80.00 ms => report id=5b866fb1 init=80
            REPORT RequestId: {id}\tSandbox Kind: warm pool\tDuration: 1 ms
                => report id=5b866fb1 duration=1 other:Sandbox Kind=warm pool
            // A known label at the end of an unknown one does not count.
            REPORT RequestId: {id}\tExtension Duration: 7 ms\tDuration: 1 ms
                => report id=5b866fb1 duration=1 other:Extension Duration=7 ms
            REPORT RequestId: {id} Max Memory Used: 31 MB Extension Duration: 7 ms Status: error
                => report id=5b866fb1 status=error used=31 other:Extension Duration=7 ms
            REPORT RequestId: {id}\tDuration: 1 ms\tDuration: 2 ms => report id=5b866fb1 duration=1
            REPORT RequestId: {id}\tStatus: \tPhase: init => report id=5b866fb1 phase=init
            REPORT RequestId: {id} Status: Duration: 5 ms => report id=5b866fb1 duration=5
            REPORT RequestId: {id}  Duration:  5  ms  Status:  error
                => report id=5b866fb1 status=error duration=5
            REPORT RequestId: {id}\r\n\tDuration: 5 ms\r\n => report id=5b866fb1 duration=5
            INIT_REPORT Status: error => initReport status=error
            START RequestId: {id} => start id=5b866fb1
            REPORT RequestId: 5B866FB1-7154-4AF6-8078-6EF6CA4C2DDD => report id=5b866fb1
            ",
        );
    }

    #[test]
    fn invalid_figures_of_text_lines_are_omitted() {
        let figure = |value: &str, expected: &str| {
            let expected = format!("report id=5b866fb1 status=error{expected}");
            check(
                &format!("REPORT RequestId: {{id}}\tDuration: {value}\tStatus: error"),
                &expected,
            );
        };
        figure("0 ms", " duration=0");
        figure("0.00 ms", " duration=0");
        figure("1.5", " duration=1.5");
        figure("1.5ms", " duration=1.5");
        figure("1.5 s", " duration=1500");
        figure("1.5s", " duration=1500");
        figure("900000.00 ms", " duration=900000");
        figure("999999999999 ms", " duration=999999999999");
        figure("9999999999999 ms", "");
        figure("99999999999999999999999999999999999999999999 ms", "");
        for invalid in [
            "", "5 secs", "1e5 ms", "1e400 ms", "NaN ms", "inf ms", "-5 ms", "+5 ms", "1.2.3 ms",
            ". ms", "1,5 ms", "5 h", "5 µs", "٣ ms", "ünï ms",
        ] {
            figure(invalid, "");
        }
        check_all(
            r"
            REPORT RequestId: {id} Memory Size: 1 GB => report id=5b866fb1 memory=1024
            REPORT RequestId: {id} Memory Size: 1 KB => report id=5b866fb1
            REPORT RequestId: {id} Memory Size: 128 Max Memory Used: 5 => report id=5b866fb1 memory=128 used=5
            REPORT RequestId: {id} Duration: 5 XRAY TraceId: x => report id=5b866fb1 trace=x duration=5
            REPORT RequestId: {id} Duration: 5 Later Figure: 7
                => report id=5b866fb1 duration=5 other:Later Figure=7
            ",
        );
        for label in ["New Figure", "tag", "later figure"] {
            check(
                &format!("REPORT RequestId: {{id}} Duration: 5 {label}: 7"),
                &format!("report id=5b866fb1 duration=5 other:{label}=7"),
            );
        }
    }

    #[test]
    fn function_lines_are_not_parsed_as_platform_lines() {
        for line in [
            "2024-03-04T17:22Z {id} Task timed out after 3.00 seconds",
            "2024-03-04T17:22:38+ {id} Task timed out after 3.00 seconds",
            "",
            " ",
            "\n",
            "R",
            "REPORT",
            "REPORT ",
            "REPORT of the day",
            "REPORT RequestId: ",
            "REPORT RequestId: none",
            "REPORT RequestId: {id}x\tDuration: 5 ms",
            "REPORT RequestId: {id}-1 Duration: 5 ms",
            "REPORT RequestId: {id}Duration: 5 ms",
            "REPORT RequestId: {id} is late",
            "REPORT RequestId: {id} Is late",
            "REPORT RequestId: {id}, Duration: 5 ms",
            "REPORT RequestId:{id}\tDuration: 5 ms",
            "REPORT requestId: {id}\tDuration: 5 ms",
            " REPORT RequestId: {id}\tDuration: 5 ms",
            "report RequestId: {id}\tDuration: 5 ms",
            "REPORTS RequestId: {id}\tDuration: 5 ms",
            "REPORT Duration: 5 ms",
            "REPORT RequestId: 5b866fb1-7154-4af6-8078-6ef6ca4c2ddg Duration: 5 ms",
            "REPORT RequestId: 5b866fb171544af680786ef6ca4c2ddd Duration: 5 ms",
            "REPORT RequestId: 5b866fb1-7154-4af6-8078-6ef6ca4c2dé Duration: 5 ms",
            "START",
            "START of something",
            "START RequestId: {id} now",
            "END RequestId: {id} of it",
            "END of RequestId: {id}",
            "INIT_START",
            "INIT_START of ours",
            "INIT_REPORT of ours: 5",
            "RESTORE_START from backup",
            "RESTORE_REPORT: fine",
            "EXTENSION loaded",
            "EXTENSION Name: ours",
            "TELEMETRY on",
            "LOGS Name: ours",
            "RequestId: {id}",
            "RequestId: {id} Error: payment refused",
            "RequestId: {id} Error: payment refused\nPayment.Refused",
            "RequestId: {id} Error: payment refused\nRuntime.is the culprit",
            "RequestId: {id} Task timed out after 3.00 seconds",
            "RequestId: none Error: Runtime exited",
            "Task timed out after 3.00 seconds",
            "2024-03-04T17:22:38.033Z Task timed out after 3.00 seconds",
            "2024-03-04T17:22:38.033Z {id} our Task timed out after 3.00 seconds",
            "2024-03-04T17:22:38.033Z {id} Task timed out after 3.00 seconds of waiting",
            "2024-03-04T17:22:38.033Z {id} Task timed out after many seconds",
            "2024-03-04T17:22:38.033Z {id} Task timed out after -3.00 seconds",
            "2024-03-04T17:22:38.033Z {id} Task timed out after inf seconds",
            "2024-03-04T17:22:38.033Z {id} Task timed out",
            "2024-03-04T17:22:38.033Z\t{id}\tINFO\tTask timed out after 3.00 seconds",
            "20240304 {id} Task timed out after 3.00 seconds",
            "[ERROR]\t2024-03-04T17:22:38.033Z\t{id}\tTask timed out after 3.00 seconds",
            "{\"message\":\"REPORT RequestId: {id}\"}",
        ] {
            check(line, "-");
        }
    }

    #[test]
    fn an_overlong_line_is_not_parsed_as_a_platform_line() {
        let line =
            |filler: usize| format!("REPORT RequestId: {ID}\tDuration: 5 ms{}", " ".repeat(filler));
        let shortest = line(0).len();
        assert!(parse(&line(15_000)).is_some());
        assert!(parse(&line(MAX_LINE_BYTES - shortest)).is_some());
        assert!(parse(&line(MAX_LINE_BYTES - shortest + 1)).is_none());
    }

    #[test]
    fn unknown_report_fields_are_bounded() {
        let fields = "\tField: x".repeat(PlatformEvent::MAX_OTHER + 5);
        let event = parse(&format!("REPORT RequestId: {ID}{fields}")).unwrap();
        assert_eq!(event.other.len(), PlatformEvent::MAX_OTHER);
    }

    fn near_lines() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            Just(ID.to_owned()),
            "(REPORT|START|END|INIT_REPORT|RESTORE_REPORT|EXTENSION|RequestId:|Task timed out after)",
            "(RequestId|Duration|Billed Duration|Status|Error Type|Max Memory Used|Name|State|Foo Duration): ?",
            "[0-9.]{0,30}",
            "(ms|MB|s|seconds|Error:|2024-03-04T17:22:38.033Z|NaN)",
            "\\PC{0,5}",
        ];
        let separator = prop_oneof![Just(" "), Just("\t"), Just("\n"), Just(""), Just("\u{a0}")];
        proptest::collection::vec((token, separator), 0..20).prop_map(|parts| {
            parts.into_iter().flat_map(|(token, gap)| [token, gap.to_owned()]).collect()
        })
    }

    fn check_figures(line: &str) {
        let Some(event) = parse(line) else { return };
        let figures = &event.figures;
        for figure in [
            figures.duration_ms,
            figures.billed_duration_ms,
            figures.memory_size_mb,
            figures.max_memory_used_mb,
            figures.init_duration_ms,
            figures.restore_duration_ms,
            figures.billed_restore_duration_ms,
            figures.timeout_ms,
        ] {
            assert!(figure.is_none_or(|figure| (0.0..=1e12).contains(&figure)), "{line:?}");
        }
        assert!(event.request_id.as_deref().is_none_or(is_uuid), "{line:?}");
        assert!(event.other.len() <= PlatformEvent::MAX_OTHER);
    }

    proptest! {
        #[test]
        fn any_text_yields_only_valid_figures(line in "\\PC*") {
            check_figures(&line);
        }

        #[test]
        fn near_platform_lines_yield_only_valid_figures(line in near_lines()) {
            check_figures(&line);
            check_figures(&format!("REPORT RequestId: {ID}\t{line}"));
            check_figures(&format!("RequestId: {ID} {line}"));
            check_figures(&format!("INIT_REPORT Init Duration: {line}"));
            check_figures(&format!("2024-03-04T17:22:38.033Z {line}"));
        }

        #[test]
        fn report_figures_are_parsed_exactly(
            duration in 0u32..90_000_000,
            billed in 0u32..900_000,
            memory in 128u32..10_240,
            used in 1u32..10_240,
            separator in prop_oneof![Just("\t"), Just(" ")],
        ) {
            let duration_ms = f64::from(duration) / 100.0;
            let line = [
                format!("REPORT RequestId: {ID}"),
                format!("Duration: {duration_ms:.2} ms"),
                format!("Billed Duration: {billed} ms"),
                format!("Memory Size: {memory} MB"),
                format!("Max Memory Used: {used} MB"),
            ].join(separator);
            let event = parse(&line).unwrap();
            prop_assert_eq!(event.figures.duration_ms, Some(duration_ms));
            prop_assert_eq!(event.figures.billed_duration_ms, Some(f64::from(billed)));
            prop_assert_eq!(event.figures.memory_size_mb, Some(f64::from(memory)));
            prop_assert_eq!(event.figures.max_memory_used_mb, Some(f64::from(used)));
            prop_assert!(event.other.is_empty());
        }
    }
}
