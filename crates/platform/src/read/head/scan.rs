//! Reads the fields of a head, one after the other, with the separators between them.

use super::sets::{Marks, Places, mark, place};
use super::word::HeadWord;
use super::{Head, HeadOf, beginning};
use crate::read::begins;
use crate::read::severity::Severity;
use crate::read::steps;
use crate::read::time::{StatedTime, stated_time};

/// Reads the fields of a head, one after the other. A method `read_…` reads a field if it stands there, and returns `true` if it did.
pub(super) struct Scan<'a> {
    pub(super) head: Head<'a>,
    pub(super) of: HeadOf,
    /// Number of fields read so far.
    pub(super) fields: usize,
    /// Number of other programs' prefixes before the line.
    pub(super) prefixes: usize,
    /// The state before the first name or number that no level followed so far.
    before_trial: Option<BeforeTrial<'a>>,
    /// The place of words after the time of day: [`place::TIMED`] or [`place::GO_TIMED`]. `None` before one.
    pub(super) after_clock: Option<Places>,
    /// The place of words after a name or a number that begins the line: [`place::NAMED`] or [`place::NUMBERED`].
    pub(super) after_first: Option<Places>,
    /// Number of words without a mark of a name after the time.
    pub(super) bare_names: usize,
    pub(super) is_indented: bool,
    /// `true` after a name in brackets.
    pub(super) has_group: bool,
    /// The separators before the next field.
    pub(super) before: Marks,
}

struct BeforeTrial<'a> {
    head: Head<'a>,
    after_clock: Option<Places>,
}

/// What a logger logged is a head only with a time or another field beside its level: otherwise it is a text that begins so.
pub(super) const MIN_FIELDS_OF_LOGGED: usize = 2;
/// A line has at most this many fields before its message.
pub(super) const MAX_FIELDS: usize = 12;
/// Other programs put a prefix before a line, such as Kubernetes. The fields are counted again after each.
const MAX_PREFIXES: usize = 2;
/// A field is shorter.
pub(super) const MAX_BYTES: usize = 128;
/// More words after a time are prose.
pub(super) const MAX_BARE_NAMES: usize = 3;

impl<'a> Scan<'a> {
    pub(super) fn new(line: &'a str, of: HeadOf) -> Self {
        let begun = line.trim_start_matches(['\n', '\r', '\u{feff}']);
        let blanks = begun.bytes().take(MAX_BYTES).take_while(|byte| *byte == b' ').count();
        let text = begun.get(blanks..).unwrap_or_default();
        steps::count(line.len() - text.len());
        // tracing-subscriber without a time pads its levels, and so do others.
        let may_be_head =
            text.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '[');
        let is_indented = blanks > 2;
        let rest = if is_indented && !may_be_head { begun } else { text };
        Self {
            head: Head { rest, ..Head::default() },
            of,
            fields: 0,
            prefixes: 0,
            before_trial: None,
            after_clock: None,
            after_first: None,
            bare_names: 0,
            is_indented,
            has_group: false,
            before: mark::BLANK,
        }
    }

    /// Reads the fields before the message, each once.
    pub(super) fn run(&mut self) {
        if let Some(bytes) = warning_len(self.head.rest) {
            self.take_level(Severity::WARN, bytes);
            return;
        }
        // After a runtime's prefix another line may begin.
        let is_complete = |head: &Head<'_>| head.is_of_runtime && head.severity.is_some();
        while self.fields < MAX_FIELDS && !is_complete(&self.head) && self.read_field() {
            if self.fields > 0 {
                self.pass_separators();
            }
        }
        if self.head.severity.is_none()
            && let Some(BeforeTrial { head, after_clock }) = self.before_trial.take()
        {
            self.head = head;
            self.after_clock = after_clock;
        }
    }

    /// Begins again after another program's prefix. Returns `false` if there were too many.
    pub(super) fn begin_again(&mut self, rest: &'a str) -> bool {
        if self.prefixes == MAX_PREFIXES {
            return false;
        }
        let Head { time, has_others, .. } = self.head;
        let before_trial = self.before_trial.take();
        *self = Self { prefixes: self.prefixes + 1, before_trial, ..Self::new(rest, self.of) };
        self.head.time = time;
        self.head.has_others = has_others;
        true
    }

    /// Returns `true` after a time of day.
    pub(super) fn has_clock(&self) -> bool {
        self.after_clock.is_some()
    }

    pub(super) fn word(&self) -> HeadWord<'a> {
        HeadWord::first_of(self.head.rest, self.before)
    }

    /// The place of the next word.
    pub(super) fn place(&self) -> Places {
        if self.bare_names > 0 {
            place::BARE
        } else if let Some(place) = self.after_clock {
            place
        } else if self.has_group {
            place::GROUPED
        } else if self.fields > 0 {
            self.after_first.unwrap_or(Places::NONE)
        } else if self.is_indented {
            place::INDENTED
        } else {
            place::FIRST
        }
    }

    /// Returns `false` at the message.
    fn read_field(&mut self) -> bool {
        let Some(first) = self.head.rest.as_bytes().first() else { return false };
        match first {
            b'[' | b'(' | b'<' | b'{' => self.read_priority() || self.read_group(),
            b'0'..=b'9' => {
                self.read_time() || {
                    let word = self.word();
                    self.read_id(&word) || self.read_number(&word)
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' => {
                (first.is_ascii_uppercase() && self.read_time()) || {
                    let word = self.word();
                    self.read_id(&word) || self.read_level(&word) || self.read_name(&word)
                }
            }
            128..=255 if self.fields == 0 && symbol(self.head.rest).is_some() => {
                self.pass_separators();
                self.head.rest.starts_with(|c: char| c.is_ascii_alphabetic()) && self.read_field()
            }
            _ => false,
        }
    }

    /// Takes a field of this many bytes. Returns `true`, as all methods that read a field do.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.fields += 1;
        self.pass(bytes);
        true
    }

    pub(super) fn take_level(&mut self, severity: Severity, bytes: usize) -> bool {
        self.head.severity = Some(severity);
        self.take(bytes)
    }

    /// Takes a name or a number that only a following level makes a part of the head.
    pub(super) fn take_on_trial(&mut self, bytes: usize) -> bool {
        if self.before_trial.is_none() {
            let head = self.head.clone();
            self.before_trial = Some(BeforeTrial { head, after_clock: self.after_clock });
        }
        self.head.has_others = true;
        self.take(bytes)
    }

    pub(super) fn pass(&mut self, bytes: usize) {
        steps::count(bytes);
        self.head.rest = self.head.rest.get(bytes..).unwrap_or_default();
    }

    fn pass_separators(&mut self) {
        self.before = Marks::NONE;
        loop {
            let rest = self.head.rest;
            let is_upper = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_uppercase);
            let (bytes, mark) = match rest.as_bytes() {
                [b'\t', b'\t', ..] => {
                    // The request id is empty during the init phase.
                    self.head.is_of_runtime |= self.has_clock();
                    (2, mark::TAB)
                }
                [b'\t', ..] => (1, mark::TAB),
                [b'|', ..] => (1, mark::BAR),
                // The message follows a runtime's tab.
                [b'-' | b'>' | b':' | b',' | b';', ..] if self.head.is_of_runtime => break,
                [b' ', b':', b' ', ..] => (3, mark::SPACED_COLON),
                [b' ', b' ', ..] => (1, mark::PADDED),
                [b' ', ..] => (1, mark::BLANK),
                [b':', b' ' | b'\t', ..] => (1, mark::COLON),
                [b':', ..] => (1, mark::JOINED),
                [b';', ..] if self.before == Marks::NONE => (1, mark::SEMICOLON),
                [b',', b' ' | b'\t', ..] => (1, mark::COMMA),
                [b',', ..] if self.has_clock() => (1, mark::COMMA),
                [b'-' | b'>', ..] => {
                    let dashes =
                        rest.bytes().take_while(|byte| matches!(byte, b'-' | b'>')).count();
                    if rest.as_bytes().get(dashes) != Some(&b' ') && !(dashes == 1 && is_upper(1)) {
                        break;
                    }
                    (dashes, mark::DASH)
                }
                [128..=255, ..] if begins(rest, &["—", "–", "→"]) => (3, mark::DASH),
                [128..=255, ..] if let Some(bytes) = symbol(rest) => (bytes, mark::SYMBOL),
                _ => break,
            };
            self.before |= mark;
            self.pass(bytes);
        }
        // Blanks count only alone.
        let others = self.before.without(mark::PLAIN);
        if others != Marks::NONE {
            self.before = self.before.without(mark::BLANK | mark::PADDED);
        }
    }

    fn read_time(&mut self) -> bool {
        steps::count(1);
        let Some(time) = stated_time(self.head.rest) else { return false };
        let has_slashes = self.head.rest.get(..time.bytes).is_some_and(|text| text.contains('/'));
        let place = match () {
            () if has_slashes => place::GO_TIMED,
            () if time.is_iso => place::ISO_TIMED,
            () => place::TIMED,
        };
        self.set_time(&time, place);
        self.take(time.bytes)
    }

    pub(super) fn set_time(&mut self, time: &StatedTime, place: Places) {
        if time.has_clock && !self.after_clock.is_some_and(|known| known.intersects(place::TIMED)) {
            self.after_clock = Some(place);
        }
        self.head.time = self.head.time.or(time.time);
    }
}

/// Length of what Node and Python print before their own warnings: `(node:8) `, and `/var/task/a.py:16: ` before a class whose name
/// ends so.
fn warning_len(text: &str) -> Option<usize> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.as_bytes() {
        [b'(', b'n', ..] => {
            let (process, _) = text.strip_prefix("(node:")?.split_once(") ")?;
            is_number(process).then_some("(node:) ".len() + process.len())
        }
        [b'/' | b'<' | b'a'..=b'z' | b'A'..=b'Z', ..] => {
            let text = beginning(text);
            let (place, rest) = text.split_once(": ")?;
            let (file, line) = place.rsplit_once(':')?;
            steps::count(place.len());
            let class = rest.split(':').next()?;
            let is_warning = class.ends_with("Warning") && !class.contains(' ');
            (is_warning && is_number(line) && !file.contains(' ')).then_some(place.len() + 2)
        }
        _ => None,
    }
}

/// Length of a symbol, if a blank follows: `✖`, `⚠️`, `›`.
fn symbol(text: &str) -> Option<usize> {
    const MAX_SYMBOL_BYTES: usize = 16;
    let end = text.bytes().take(MAX_SYMBOL_BYTES).position(|byte| byte == b' ')?;
    let symbol = text.get(..end)?;
    symbol.chars().all(|c| !c.is_ascii() && !c.is_alphanumeric()).then_some(end)
}
