//! Joins the lines of a stack trace.
//!
//! If a runtime writes plain text to stderr, each line becomes a log event (Lambda Developer Guide, "OS-only runtimes"). A stack
//! trace of forty lines would become forty meaningless log records. Blank lines are dropped.

use crate::source::LogEvent;
use platform::ReportState;
use std::borrow::Cow;

/// Limits on the joined text.
const MAX_BYTES: usize = 256 * 1024;
const MAX_LINES: usize = 1000;
/// Limits on the lines that may belong to a trace.
const MAX_ON_TRIAL: usize = 16;
const MAX_BYTES_ON_TRIAL: usize = 4096;

/// Largest time between two lines of a stack trace.
const MAX_GAP_MS: i64 = 1000;

/// The joined lines of a stack trace.
pub(crate) struct JoinedLines<'e, 't> {
    /// The log event of the first line.
    pub(crate) first: &'e LogEvent,
    pub(crate) text: &'t str,
    /// Number of lines after the first.
    pub(crate) further_lines: usize,
}

/// Text that may be the beginning of a stack trace, with its further lines.
#[derive(Debug)]
pub(crate) struct StackTrace<'e> {
    event: &'e LogEvent,
    text: Cow<'e, str>,
    lines: usize,
    last_ms: i64,
    state: ReportState,
    /// Lines that belong to the trace if its frames follow.
    on_trial: Vec<&'e LogEvent>,
}

impl<'e> StackTrace<'e> {
    /// Begins a trace, if the log event can be its first line.
    pub(crate) fn begin(event: &'e LogEvent) -> Option<Self> {
        let text = event.message.as_str();
        Some(Self {
            event,
            text: Cow::Borrowed(text),
            lines: 1,
            last_ms: event.timestamp_ms,
            state: ReportState::begin(text)?,
            on_trial: Vec::new(),
        })
    }

    /// Adds the log event if it continues the trace, or may do so. Returns `false` if it does not.
    pub(crate) fn try_add(&mut self, event: &'e LogEvent) -> bool {
        let line = event.message.trim_end_matches(['\r', '\n']);
        let is_near = event.timestamp_ms.abs_diff(self.last_ms) <= MAX_GAP_MS.unsigned_abs();
        let has_room =
            self.lines < MAX_LINES && self.text.len() + line.len() < MAX_BYTES && is_near;
        if !has_room {
            return false;
        }
        let is_sure = self.on_trial.is_empty() || ReportState::begins_trace(line);
        let next = self.state.after_event(&self.text, line).filter(|_| is_sure);
        if let Some(state) = next {
            for event in std::mem::take(&mut self.on_trial) {
                self.add(event);
            }
            self.add(event);
            self.state = state;
            return true;
        }
        let is_on_trial = self.on_trial.len() < MAX_ON_TRIAL
            && line.len() < MAX_BYTES_ON_TRIAL
            && self.state.may_go_on(&self.text, line);
        self.on_trial.extend(is_on_trial.then_some(event));
        is_on_trial
    }

    fn add(&mut self, event: &LogEvent) {
        let text = self.text.to_mut();
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        text.push('\n');
        text.push_str(event.message.trim_end_matches(['\r', '\n']));
        self.lines += 1;
        self.last_ms = event.timestamp_ms;
    }

    /// Returns `true` if the lines are a stack trace, and not only text that may precede one.
    pub(crate) fn has_begun(&self) -> bool {
        self.state != ReportState::Text
    }

    /// The lines of the trace so far as one text.
    pub(crate) fn joined(&self) -> JoinedLines<'e, '_> {
        JoinedLines { first: self.event, text: &self.text, further_lines: self.lines - 1 }
    }

    /// The log events after the trace that looked like a part of it.
    pub(crate) fn into_rejected(self) -> Vec<&'e LogEvent> {
        self.on_trial
    }
}
