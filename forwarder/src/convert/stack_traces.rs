//! Joins the lines of a stack trace.
//!
//! If a runtime writes plain text to stderr, each line becomes a log event (Lambda Developer Guide, "OS-only runtimes"). A stack
//! trace of forty lines would become forty meaningless log records. Blank lines are dropped.

use crate::source::LogEvent;
use memchr::memmem::Finder;
use platform::is_rust_panic;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Limits on the joined text.
const MOST_BYTES: usize = 256 * 1024;
const MOST_LINES: usize = 1000;

/// Largest time between two lines of a stack trace.
const MOST_GAP_MS: i64 = 1000;

/// Text that may be the beginning of a stack trace, with its further lines.
#[derive(Debug)]
pub(crate) struct Trace<'e> {
    event: &'e LogEvent,
    text: Cow<'e, str>,
    lines: usize,
    last_ms: i64,
    state: TraceState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TraceState {
    Text,
    Frames,
    /// Frames of a Python traceback, which ends with the line that names the exception.
    Traceback,
    /// After the line that names the exception. Only a chained traceback continues it.
    Named,
    /// After the words that announce a chained traceback.
    Chained,
    /// After the line with the location of a Rust panic. The message follows.
    Panic,
    /// The message of a panic. Its further lines are indented or close a bracket.
    PanicMessage,
    Backtrace,
    /// After the last line of a panic.
    PanicEnd,
}

impl<'e> Trace<'e> {
    /// Begins a trace, if the log event can be its first line.
    pub(crate) fn begin(event: &'e LogEvent) -> Option<Self> {
        let text = event.message.as_str();
        let may_begin = !text.trim_start().starts_with(['{', '[']) && !is_platform(text);
        let state = if is_rust_panic(text) {
            TraceState::of_panic(text)
        } else {
            TraceState::of_text(text)
        };
        may_begin.then_some(Self {
            event,
            text: Cow::Borrowed(text),
            lines: 1,
            last_ms: event.timestamp_ms,
            state,
        })
    }

    /// Adds the log event and returns `true`, if it continues the trace.
    pub(crate) fn go_on(&mut self, event: &LogEvent) -> bool {
        let line = event.message.trim_end_matches(['\r', '\n']);
        let is_near = event.timestamp_ms.abs_diff(self.last_ms) <= MOST_GAP_MS.unsigned_abs();
        let has_room =
            self.lines < MOST_LINES && self.text.len() + line.len() < MOST_BYTES && is_near;
        let Some(state) = self.state.after_event(line).filter(|_| has_room) else { return false };
        let text = self.text.to_mut();
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        text.push('\n');
        text.push_str(line);
        self.state = state;
        self.lines += 1;
        self.last_ms = event.timestamp_ms;
        true
    }

    /// Returns `true` if the lines are a stack trace, and not only text that may precede one.
    pub(crate) fn has_begun(&self) -> bool {
        self.state != TraceState::Text
    }

    /// The first log event, the joined text, and the number of further lines.
    pub(crate) fn end(&self) -> (&'e LogEvent, &str, usize) {
        (self.event, &self.text, self.lines - 1)
    }
}

impl TraceState {
    /// The state after a log event; `None` if its first line is not part of the trace.
    fn after_event(self, text: &str) -> Option<Self> {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        // A logger writes a message and its traceback at once. They have a level, a time and a request id of their own.
        let is_whole = self == Self::Text && is_traceback(first) && !rest.is_empty();
        let state = self.after(first).filter(|_| !is_whole)?;
        Some(state.after_lines(rest))
    }

    /// The state after further lines of a log event.
    fn after_lines(self, lines: &str) -> Self {
        lines.lines().fold(self, |state, line| state.after(line).unwrap_or(state))
    }

    /// The state after a line; `None` if the line is not part of the trace.
    fn after(self, line: &str) -> Option<Self> {
        if matches!(self, Self::Panic | Self::PanicMessage | Self::Backtrace | Self::PanicEnd) {
            return self.after_in_panic(line);
        }
        let is_in_group = self == Self::Traceback && line.starts_with(' ');
        if is_traceback(line) && !is_in_group {
            // A second trace is another error, unless it was announced.
            return matches!(self, Self::Text | Self::Chained).then_some(Self::Traceback);
        }
        let is_blank = line.trim().is_empty();
        match self {
            Self::Traceback if is_blank || line.starts_with([' ', '\t']) => Some(self),
            Self::Traceback if is_other(line) || !names_exception(line) => None,
            Self::Traceback => Some(Self::Named),
            Self::Named | Self::Chained if is_blank => Some(self),
            Self::Named if announces_another(line) => Some(Self::Chained),
            Self::Text | Self::Frames | Self::Named if is_frame(line) => Some(Self::Frames),
            _ => None,
        }
    }

    /// Only the first panic of a process explains how to get a backtrace, so the message may be the last line.
    fn after_in_panic(self, line: &str) -> Option<Self> {
        let is_indented = line.starts_with([' ', '\t']);
        match self {
            _ if is_other(line) || is_rust_panic(line) => None,
            Self::Panic => Some(Self::PanicMessage),
            Self::PanicMessage if line.starts_with("note: run with `RUST_BACKTRACE=") => {
                Some(Self::PanicEnd)
            }
            Self::PanicMessage if line == "stack backtrace:" => Some(Self::Backtrace),
            Self::PanicMessage if is_indented || line.starts_with(['}', ')', ']']) => Some(self),
            Self::Backtrace if line.starts_with("note: ") => Some(Self::PanicEnd),
            Self::Backtrace if is_indented => Some(self),
            _ => None,
        }
    }

    /// The state after the first log event, if it is not a panic.
    fn of_text(text: &str) -> Self {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let begin = if is_traceback(first) { Self::Traceback } else { Self::Text };
        begin.after_lines(rest)
    }

    /// The state after the first log event, if it is a panic.
    fn of_panic(text: &str) -> Self {
        let mut lines = text.trim().lines();
        let has_message_behind = lines.next().is_some_and(|line| line.trim_end().ends_with(':'));
        let begin = if has_message_behind { Self::Panic } else { Self::PanicMessage };
        lines.fold(begin, |state, line| state.after(line).unwrap_or(state))
    }
}

/// Returns `true` for the first line of a Python traceback. Python draws a frame around those of an exception group.
fn is_traceback(line: &str) -> bool {
    let text = line.trim_start_matches([' ', '|', '+']);
    text.strip_prefix("Exception Group ")
        .unwrap_or(text)
        .starts_with("Traceback (most recent call last):")
}

/// Returns `true` for the end of a Python traceback: the exception's dotted name, and usually its message.
fn names_exception(line: &str) -> bool {
    let name = line.split_once(": ").map_or(line, |(name, _)| name);
    let name = name.trim_end().strip_suffix(':').unwrap_or(name.trim_end());
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '<' | '>');
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_part)
}

// Created once: creating a finder takes longer than searching one line.
static FIND_TIMEOUT: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new(" Task timed out after "));

/// Returns `true` for the text between two chained Python tracebacks.
fn announces_another(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

/// Returns `true` for a frame of Java, Kotlin, Node, .NET, Ruby, Go or Rust.
fn is_frame(line: &str) -> bool {
    let trimmed = line.trim_start();
    let is_indented = trimmed.len() < line.len();
    if !is_indented {
        return ["Caused by: ", "Suppressed: ", "--- End of ", "goroutine "]
            .iter()
            .any(|beginning| trimmed.starts_with(beginning));
    }
    let has_beginning = ["at ", "from ", "Caused by: ", "Suppressed: ", "--- End of ", "---> "]
        .iter()
        .any(|beginning| trimmed.starts_with(beginning));
    has_beginning || is_omission(trimmed) || is_numbered(trimmed) || is_go_file(trimmed)
}

/// `... 12 more`, `... 3 common frames omitted`
fn is_omission(line: &str) -> bool {
    line.strip_prefix("... ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `12: core::panicking::panic`
fn is_numbered(line: &str) -> bool {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    digits > 0 && digits <= 4 && line.get(digits..).is_some_and(|rest| rest.starts_with(": "))
}

/// `/src/main.go:12 +0x1d`
fn is_go_file(line: &str) -> bool {
    line.starts_with('/') && line.contains(".go:")
}

/// Returns `true` if the line is certainly a separate record: a platform line, or JSON.
fn is_other(line: &str) -> bool {
    line.starts_with('{') || is_platform(line)
}

fn is_platform(line: &str) -> bool {
    [
        "START RequestId: ",
        "END RequestId: ",
        "REPORT RequestId: ",
        "INIT_START ",
        "INIT_REPORT ",
        "RESTORE_",
        "RequestId: ",
        "EXTENSION\tName: ",
        "TELEMETRY\tName: ",
        "LOGS\tName: ",
    ]
    .iter()
    .any(|beginning| line.starts_with(beginning))
        || FIND_TIMEOUT.find(line.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines that are one millisecond apart. Each group of them becomes one text, without its empty lines.
    #[track_caller]
    fn check(groups: &[&[&str]]) {
        let lines = groups.iter().copied().flatten();
        let events: Vec<_> = (0_i64..)
            .zip(lines)
            .map(|(timestamp_ms, line)| LogEvent {
                timestamp_ms,
                message: format!("{line}\n"),
                ..LogEvent::default()
            })
            .collect();
        let mut joined: Vec<String> = Vec::new();
        let mut trace: Option<Trace<'_>> = None;
        for event in &events {
            if trace.as_mut().is_some_and(|trace| trace.go_on(event)) {
                continue;
            }
            joined.extend(trace.map(|trace| trace.end().1.trim_end().to_owned()));
            trace = Trace::begin(event);
            if trace.is_none() {
                joined.push(event.message.trim_end().to_owned());
            }
        }
        joined.extend(trace.map(|trace| trace.end().1.trim_end().to_owned()));
        let text = |group: &&[&str]| {
            let lines = group.iter().map(|line| line.trim_end_matches('\n'));
            lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(joined, groups.iter().map(text).collect::<Vec<_>>());
    }

    const HEADER: &str = "Traceback (most recent call last):";

    #[test]
    fn stack_traces_of_supported_languages_are_joined() {
        check(&[
            &["before"],
            &[
                "java.lang.IllegalStateException: no stock",
                "\tat shop.Orders.place(Orders.java:12)",
                "\t... 12 more",
                "Caused by: java.io.IOException: closed",
                "\tat shop.Db.read(Db.java:7)",
            ],
            &["behind"],
        ]);
        check(&[
            &[
                HEADER,
                "  File \"/var/task/shop.py\", line 3, in handler",
                "    raise ValueError(\"no\")",
                "ValueError: no",
                "",
                "During handling of the above exception, another exception occurred:",
                "",
                HEADER,
                "  File \"/var/task/shop.py\", line 9, in handler",
                "KeyError: 'x'",
            ],
            &["behind"],
        ]);
        check(&[&[
            "TypeError: x is undefined",
            "    at handler (/var/task/index.js:3:9)",
            "    at node:internal/x:1:2",
        ]]);
        check(&[&[
            "thread 'main' panicked at src/main.rs:2:5:",
            "stack backtrace:",
            "   0: core::panicking::panic",
            "             at /rustc/core.rs:1:2",
        ]]);
        check(&[&["panic: no stock", "goroutine 1 [running]:", "\t/src/main.go:12 +0x1d"]]);
    }

    #[test]
    fn lines_outside_a_stack_trace_are_not_joined() {
        check(&[&["a"], &["b"]]);
        check(&[&["list:"], &["  one"], &["  two"]]);
        check(&[&["{\"a\":1}"], &["\tat x"]]);
        check(&[&["END RequestId: 1"], &["\tat x"]]);
        check(&[&[HEADER, "  File \"x\""], &["REPORT RequestId: 1"]]);
        check(&[&[HEADER, "  File \"x\"", "E: 1"], &["next line"]]);
    }

    #[test]
    fn a_whole_traceback_of_one_log_event_stays_a_record_of_its_own() {
        const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"/var/task/shop.py\", line 3, in handler\n    raise ValueError(\"no\")\nValueError: no";
        for begin in [
            "[ERROR]\t2026-11-24T10:00:00.123Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tfailed\n",
            "2026-11-24 10:00:00.123 | ERROR    | shop:handler:3 - failed\n",
            "ERROR:root:failed\n",
            "",
        ] {
            check(&[&["before"], &[&format!("{begin}{TRACEBACK}")], &["behind"]]);
        }
        // Lambda's Python runtime writes the exception's name before the frames.
        let unhandled = "[ERROR] ValueError: no\nTraceback (most recent call last):\n  File \"/var/task/shop.py\", line 3, in handler";
        check(&[&["before"], &[unhandled], &["behind"]]);
    }

    #[test]
    fn a_traceback_printed_in_pieces_of_several_lines_is_joined() {
        // `traceback.print_exc` writes a frame with its source line at once.
        check(&[
            &[
                "failed",
                HEADER,
                "  File \"/var/task/shop.py\", line 3, in handler\n    raise KeyError(\"x\")",
                "KeyError: 'x'",
                "\nDuring handling of the above exception, another exception occurred:\n",
                HEADER,
                "  File \"/var/task/shop.py\", line 5, in handler\n    raise ValueError(\"no\")",
                "ValueError: no",
            ],
            &["behind"],
        ]);
    }

    #[test]
    fn the_traceback_of_an_exception_group_is_joined() {
        check(&[
            &[
                "  + Exception Group Traceback (most recent call last):",
                "  |   File \"/var/task/shop.py\", line 3, in handler",
                "  | ExceptionGroup: both (1 sub-exception)",
                "  +-+---------------- 1 ----------------",
                "    | Traceback (most recent call last):",
                "    |   File \"/var/task/shop.py\", line 2, in handler",
                "    | ValueError: no",
                "    +------------------------------------",
            ],
            &["next line"],
        ]);
    }

    #[test]
    fn only_the_name_of_an_exception_ends_a_traceback() {
        let frame = "  File \"/var/task/shop.py\", line 3, in handler";
        for name in
            ["KeyError", "shop.Error: no", "__main__.f.<locals>.E: no", "asyncio.TimeoutError"]
        {
            check(&[&[HEADER, frame, name], &["behind"]]);
        }
        for other in [
            "[INFO]\t2026-11-24T10:00:00.123Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\tnext",
            "2026-11-24 10:00:00.123 | WARNING  | shop:handler:3 - next",
            "ERROR payment 17 failed",
            "INFO:root:next",
        ] {
            check(&[&[HEADER, frame], &[other]]);
        }
        check(&[&["user said: Traceback (most recent call last):"], &["ERROR payment 17 failed"]]);
    }

    #[test]
    fn a_gap_over_one_second_ends_a_stack_trace() {
        let event = |timestamp_ms, message: &str| LogEvent {
            timestamp_ms,
            message: message.to_owned(),
            ..LogEvent::default()
        };
        let first = event(0, "E: 1");
        let mut trace = Trace::begin(&first).unwrap();
        assert!(trace.go_on(&event(1000, "\tat x")));
        assert!(!trace.go_on(&event(2001, "\tat y")));
        assert_eq!(trace.end().2, 1);
    }

    #[test]
    fn extension_platform_lines_are_not_joined_to_a_traceback() {
        for line in [
            "EXTENSION\tName: otel\tState: Crashed\tEvents: [INVOKE]",
            "TELEMETRY\tName: otel\tState: Subscribed\tTypes: [Platform]",
            "LOGS\tName: otel\tState: Subscribed\tTypes: [Platform]",
        ] {
            check(&[&[HEADER], &[line]]);
        }
    }
}
