//! Joins the lines of a stack trace.
//!
//! If a runtime writes plain text to stderr, each line becomes a log event (Lambda Developer Guide, "OS-only runtimes"). A stack
//! trace of forty lines would become forty meaningless log records. Blank lines are dropped.

use crate::source::LogEvent;
use platform::ReportState;
use std::borrow::Cow;

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
    state: ReportState,
}

impl<'e> Trace<'e> {
    /// Begins a trace, if the log event can be its first line.
    pub(crate) fn begin(event: &'e LogEvent) -> Option<Self> {
        let text = event.message.as_str();
        Some(Self {
            event,
            text: Cow::Borrowed(text),
            lines: 1,
            last_ms: event.timestamp_ms,
            state: ReportState::begin(text)?,
        })
    }

    /// Adds the log event and returns `true`, if it continues the trace.
    pub(crate) fn go_on(&mut self, event: &LogEvent) -> bool {
        let line = event.message.trim_end_matches(['\r', '\n']);
        let is_near = event.timestamp_ms.abs_diff(self.last_ms) <= MOST_GAP_MS.unsigned_abs();
        let has_room =
            self.lines < MOST_LINES && self.text.len() + line.len() < MOST_BYTES && is_near;
        let Some(state) = self.state.after_event(&self.text, line).filter(|_| has_room) else {
            return false;
        };
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
        self.state != ReportState::Text
    }

    /// The first log event, the joined text, and the number of further lines.
    pub(crate) fn end(&self) -> (&'e LogEvent, &str, usize) {
        (self.event, &self.text, self.lines - 1)
    }
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
    fn lines_outside_a_stack_trace_are_not_joined() {
        check(&[&["a"], &["b"]]);
        check(&[&["list:"], &["  one"], &["  two"]]);
        // A traceback is the message of an error at most.
        check(&[&["INFO:root:all good"], &[HEADER, "  File \"x\"", "E: 1"]]);
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
                "ERROR:root:failed",
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
}
