//! Reads what runtimes and loggers put before a message, by this grammar:
//!
//! ```text
//! line      = [blanks] { field separator } message
//! field     = time | level | group | priority | id | number | name
//! time      = a date, a time of day, or both; `<nil>` of zerolog    (`read/time`)
//! level     = a word of `LEVELS`, or its letter                     (`read/severity`)
//! group     = "[" … "]" | "(" … ")" | "<" level ">": a time, a level, trace ids, or a name
//! priority  = "<" number ">" of syslog
//! id        = request id | CloudFront's id
//! number    = digits: a process, a line, or the time since the start
//! name      = a word: logger, thread, host, or file
//! separator = blanks | tab | "|" | ":" | "," | ";" | dashes and arrows
//! ```
//!
//! Whether a word is a level depends on where it stands in this sequence: on the fields before it, on the separators around it, and
//! on its case. Each row of [`EVIDENCE`] is one kind of place where loggers write levels, and says which words count there: the
//! weaker the evidence, the fewer. A logger with another order of fields needs a row. All else is prose: a level word inside a
//! sentence never counts.
//!
//! A name or a number may also begin the message. It is taken on trial: if no level follows, the head ends before it. So each
//! field is read once, and a head has at most [`MAX_FIELDS`] fields of [`MAX_BYTES`]. Behind the fields of Lambda's runtimes, or
//! another program's prefix, a line may begin again.

mod evidence;
mod prose;

use crate::read::begins;
use crate::read::ids::{TraceIds, is_uuid, trace_ids_in_brackets};
use crate::read::severity::{Evidence, Severity};
use crate::read::steps;
use crate::read::time::{LineTime, stated_time};
use evidence::{EVIDENCE, Row, Word, form, mark, marks, marks_far_behind, place};
use prose::{
    begins_message, begins_sentence, is_displayed_by_php, is_english, is_of_rich, is_value,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) severity: Option<Severity>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) time: Option<LineTime>,
    pub(crate) trace: Option<TraceIds>,
    /// `true` if the head has more than these fields, such as a logger's name.
    pub(crate) has_others: bool,
    /// `true` if a tracer added its context in brackets.
    pub(crate) has_context: bool,
    pub(crate) rest: &'a str,
}

/// Reads the head of a line without colours.
pub(crate) fn head(line: &str, place: Place) -> Head<'_> {
    let mut scan = Scan::new(line, place);
    scan.run();
    if scan.head.severity.is_none() && scan.has_clock {
        scan.head.severity = of_second_line(line);
    }
    let mut head = scan.head;
    if head.severity.is_some() && head.trace.is_none() {
        head.trace = between_bars(head.rest);
    }
    // lambda_runtime for Rust names the request in its span.
    let in_span = head.rest.strip_prefix("Lambda runtime invoke{requestId=\"");
    let in_span = in_span.and_then(|rest| rest.split('"').next()).filter(|id| is_uuid(id));
    head.request_id = head.request_id.or(in_span);
    if scan.is_runtime {
        // The message may be a line of a logger, whose level is more exact than the runtime's.
        let mut inner = Scan::new(head.rest, Place::Message);
        inner.run();
        head.severity = inner.head.severity.or(head.severity);
        head.has_others |= inner.head.has_others;
        head.has_context |= inner.head.has_context;
        head.trace = inner.head.trace.or(head.trace);
        head.rest = inner.head.rest;
    }
    head
}

/// The ids of a trace between bars: `… | 5b8aa5a2d2c872e8321cf37308d69df2 051581bf3cb55c13 | message`.
fn between_bars(text: &str) -> Option<TraceIds> {
    let text = beginning(text);
    memchr::memchr(b'|', text.as_bytes())?;
    let (_, rest) = text.split_once("| ")?;
    steps::count(text.len());
    let (ids, _) = rest.split_once(" |")?;
    let (trace, span) = ids.split_once(' ')?;
    Some(TraceIds { trace_id: wire::ids::id(trace)?, span_id: Some(wire::ids::id(span)?) })
}

/// The level of `java.util.logging`, whose default format begins the second line with it.
fn of_second_line(line: &str) -> Option<Severity> {
    let (_, second) = line.split_once('\n')?;
    let second = beginning(second);
    let word = second.get(..second.find(": ")?)?;
    Severity::of_text(word, Evidence::AfterTime)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Line,
    /// The message in another logger's line, where only a marked word is a level.
    Message,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about the text so far")]
struct Scan<'a> {
    head: Head<'a>,
    place: Place,
    fields: usize,
    /// Number of other programs' prefixes before the line.
    prefixes: usize,
    /// The scan before the first name or number that no level followed so far.
    on_trial: Option<BeforeTrial<'a>>,
    /// The place behind a name or a number that begins the line; only some fields may follow.
    only_behind: Option<u8>,
    /// Number of words without a mark of a name behind the time.
    bare_names: usize,
    is_indented: bool,
    has_clock: bool,
    /// `true` if a word behind the time may be a name without a mark: Go's `log` has such a time before prose.
    may_have_bare_names: bool,
    /// `true` after a name in brackets.
    has_group: bool,
    /// `true` after the fields of Lambda's runtimes: time and request id.
    is_runtime: bool,
    /// The separators before the next field.
    before: u16,
}

/// The scan before a name or a number, for the case that it belongs to the message.
struct BeforeTrial<'a> {
    head: Head<'a>,
    has_clock: bool,
    is_runtime: bool,
}

/// A line has at most so many fields before its message.
const MAX_FIELDS: usize = 12;
/// Other programs put a prefix before a line, such as Kubernetes. The fields are counted again behind each.
const MAX_PREFIXES: usize = 2;
/// A field is shorter.
const MAX_BYTES: usize = 128;
/// More words behind a time are prose.
const MOST_BARE_NAMES: usize = 3;

impl<'a> Scan<'a> {
    fn new(line: &'a str, place: Place) -> Self {
        let whole = line;
        let line = whole.trim_start_matches(['\n', '\r', '\u{feff}']);
        let blanks = line.bytes().take(MAX_BYTES).take_while(|byte| *byte == b' ').count();
        let text = line.get(blanks..).unwrap_or_default();
        steps::count(whole.len() - text.len());
        // tracing-subscriber without a time pads its levels, and so do others.
        let may_be_head = text.starts_with(|c: char| c.is_ascii_uppercase() || c == '[');
        let rest = if blanks <= 2 || may_be_head { text } else { line };
        Self {
            head: Head { rest, ..Head::default() },
            place,
            fields: 0,
            prefixes: 0,
            on_trial: None,
            only_behind: None,
            bare_names: 0,
            is_indented: blanks > 2,
            has_clock: false,
            may_have_bare_names: false,
            has_group: false,
            is_runtime: false,
            before: 0,
        }
    }

    /// Reads the fields before the message, each once.
    fn run(&mut self) {
        // Behind a runtime's prefix another line may begin.
        let is_complete = |scan: &Self| scan.is_runtime && scan.head.severity.is_some();
        while self.fields < MAX_FIELDS && !is_complete(self) && self.field() {
            if self.fields > 0 {
                self.separators();
            }
        }
        if let Some(before) = self.on_trial.take().filter(|_| self.head.severity.is_none()) {
            let BeforeTrial { head, has_clock, is_runtime } = before;
            self.head = head;
            self.has_clock = has_clock;
            self.is_runtime = is_runtime;
        }
    }

    /// Begins again behind another program's prefix. Returns `false` if there were too many.
    fn begin_again(&mut self, rest: &'a str) -> bool {
        if self.prefixes == MAX_PREFIXES {
            return false;
        }
        let Head { time, has_others, .. } = self.head;
        let on_trial = self.on_trial.take();
        *self = Self { prefixes: self.prefixes + 1, on_trial, ..Self::new(rest, self.place) };
        self.head.time = time;
        self.head.has_others = has_others;
        true
    }

    /// Reads one field. Returns `false` at the message.
    fn field(&mut self) -> bool {
        let Some(first) = self.head.rest.as_bytes().first() else { return false };
        match first {
            b'[' if self.only_behind != Some(place::NAMED) => self.brackets(b']'),
            b'A'..=b'Z' | b'a'..=b'z' if self.only_behind.is_some() => {
                let word = self.word();
                self.level(word)
            }
            _ if self.only_behind.is_some() => false,
            b'(' => self.brackets(b')'),
            b'<' => self.syslog() || self.angles(),
            b'{' => self.braces(),
            b'0'..=b'9' => {
                self.time() || {
                    let word = self.word();
                    self.id(word) || self.number(word)
                }
            }
            b'A'..=b'Z' if self.time() => true,
            b'A'..=b'Z' | b'a'..=b'z' => {
                let word = self.word();
                self.level(word) || self.id(word) || self.name(word)
            }
            _ => false,
        }
    }

    /// What stands before the next field.
    fn place(&self) -> u8 {
        match () {
            () if let Some(behind) = self.only_behind => behind,
            () if self.bare_names > 0 => place::BARE,
            () if self.has_clock => place::TIMED,
            () if self.has_group => place::GROUPED,
            () if self.fields > 0 => 0,
            () if self.is_indented => place::INDENTED,
            () => place::FIRST,
        }
    }

    /// Takes a field.
    fn take(&mut self, bytes: usize) -> bool {
        self.fields += 1;
        self.pass(bytes);
        true
    }

    fn pass(&mut self, bytes: usize) {
        steps::count(bytes);
        self.head.rest = self.head.rest.get(bytes..).unwrap_or_default();
    }

    fn set(&mut self, severity: Severity, bytes: usize) -> bool {
        self.head.severity = Some(severity);
        self.only_behind = None;
        self.take(bytes)
    }

    /// Takes a name or a number that only a following level makes a part of the head.
    fn try_field(&mut self, bytes: usize) -> bool {
        if self.on_trial.is_none() {
            let Self { has_clock, is_runtime, .. } = *self;
            self.on_trial = Some(BeforeTrial { head: self.head.clone(), has_clock, is_runtime });
        }
        self.head.has_others = true;
        self.take(bytes)
    }

    fn separators(&mut self) {
        self.before = 0;
        loop {
            let rest = self.head.rest;
            let is_upper = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_uppercase);
            let (bytes, mark) = match rest.as_bytes() {
                [b'\t', b'\t', ..] => {
                    // The request id is empty during the init phase.
                    self.is_runtime |= self.has_clock;
                    (2, mark::TAB)
                }
                [b'\t', ..] => (1, mark::TAB),
                [b'|', ..] => (1, mark::BAR),
                // Behind a runtime's tab stands the message.
                [b'-' | b'>' | b':' | b',' | b';', ..] if self.is_runtime => return,
                [b' ', b':', b' ', ..] => (3, mark::SPACED_COLON),
                [b' ', b' ', ..] => (1, mark::PADDED),
                [b' ', ..] => (1, mark::BLANK),
                [b':', b' ' | b'\t', ..] => (1, mark::COLON),
                [b':', b':', ..] if self.has_clock => (2, mark::COLON),
                [b':', ..] if self.has_clock && is_upper(1) => (1, mark::COLON),
                [b';', ..] if self.before == 0 => (1, mark::SEMICOLON),
                [b',', b' ' | b'\t', ..] => (1, mark::COMMA),
                [b',', ..] if self.has_clock => (1, mark::COMMA),
                [b'-' | b'>', ..] => {
                    let dashes =
                        rest.bytes().take_while(|byte| matches!(byte, b'-' | b'>')).count();
                    if rest.as_bytes().get(dashes) != Some(&b' ') && !(dashes == 1 && is_upper(1)) {
                        return;
                    }
                    (dashes, mark::DASH)
                }
                [128..=255, ..] if begins(rest, &["—", "–", "→"]) => (3, mark::DASH),
                _ => return,
            };
            self.before |= mark;
            self.pass(bytes);
        }
    }

    fn word(&self) -> Word<'a> {
        let rest = self.head.rest;
        let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'|' | b'\n' | b'\r' | b',' | b';');
        let bytes = rest.as_bytes();
        let bytes = bytes.get(..MAX_BYTES).unwrap_or(bytes);
        let end =
            bytes.iter().position(is_end).unwrap_or_else(|| rest.floor_char_boundary(MAX_BYTES));
        steps::count(end);
        let (word, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let text = word.trim_end_matches([':', '-']);
        let behind = word.get(text.len()..).unwrap_or_default();
        let mut after = marks(rest);
        if behind.starts_with(':') {
            after |= mark::COLON;
        }
        if behind.ends_with('-') && self.before & mark::DASH != 0 {
            after |= mark::DASH;
        }
        Word { text, before: self.before, rest, after }
    }

    fn time(&mut self) -> bool {
        steps::count(1);
        let Some(time) = stated_time(self.head.rest) else { return false };
        steps::count(time.bytes);
        self.has_clock |= time.has_clock;
        let text = self.head.rest.get(..time.bytes).unwrap_or_default();
        self.may_have_bare_names |= time.has_clock && !text.contains('/');
        self.head.time = self.head.time.or(time.time);
        self.take(time.bytes)
    }

    /// A request id, its placeholder during the init phase, or the id that CloudFront Functions put before each line.
    fn id(&mut self, word: Word<'a>) -> bool {
        const CLOUDFRONT_BYTES: usize = 40;
        let Word { text, rest, .. } = word;
        if is_uuid(text) && (self.fields > 0 || rest.starts_with('\t')) {
            self.is_runtime |= self.has_clock;
            self.head.request_id = self.head.request_id.or(Some(text));
            return self.take(text.len());
        }
        if text == "undefined" && self.before & mark::TAB != 0 && self.has_clock {
            self.is_runtime = true;
            return self.take(text.len());
        }
        // Kubernetes' log files: `TIME stderr F …`
        if self.has_clock && matches!(text, "stdout" | "stderr") && rest.starts_with(" F ") {
            let is_begun = self.begin_again(rest.get(3..).unwrap_or_default());
            self.head.has_others |= is_begun;
            return is_begun;
        }
        let is_of_cloudfront = self.fields == 0
            && text.len() >= CLOUDFRONT_BYTES
            && text.strip_suffix("==").is_some_and(|id| {
                id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+/".contains(&byte))
            });
        if is_of_cloudfront {
            let rest = self.head.rest.get(text.len()..).unwrap_or_default();
            return self.begin_again(rest.strip_prefix(' ').unwrap_or(rest));
        }
        false
    }

    /// A process or line number behind other fields, such as `8` of Spring and `8#8:` of nginx, or the time since the start.
    fn number(&mut self, word: Word<'a>) -> bool {
        const MOST_DIGITS: usize = 20;
        let Word { text, rest, .. } = word;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"#:*".contains(&byte));
        // A list of values is no head.
        let is_value = word.is_followed_by(mark::COMMA | mark::SEMICOLON);
        if !is_number || is_value || text.len() > MOST_DIGITS {
            return false;
        }
        if self.fields == 0 {
            let next = beginning(rest).trim_start();
            let may_be_head = word.is_followed_by(mark::BLANK)
                && !text.contains(':')
                && next.starts_with(|c: char| c == '[' || c.is_ascii_uppercase());
            if may_be_head {
                self.only_behind = Some(place::NUMBERED);
            }
            return may_be_head && self.try_field(text.len());
        }
        let is_process =
            self.head.severity.is_none() || beginning(rest).trim_start().starts_with("---");
        if is_process {
            self.head.has_others = true;
            let colons = word.bytes(self.head.rest);
            return self.take(colons);
        }
        false
    }

    fn level(&mut self, word: Word<'a>) -> bool {
        if self.head.severity.is_some() {
            return false;
        }
        let place = self.place();
        let is_behind = place & (place::TIMED | place::GROUPED | place::BARE) != 0;
        // Most messages begin with an ordinary word.
        let has_mark = mark::FIELD | mark::COLON;
        let is_ordinary = matches!(word.text.as_bytes(), [_, b'a'..=b'z', ..])
            && !word.is_followed_by(has_mark)
            && !matches!(word.text, "npm" | "Fatal" | "PHP")
            && !word.text.contains(':');
        if is_ordinary && !is_behind {
            return false;
        }
        if let Some((severity, bytes)) = self.phrase().or_else(|| klog(word.text, word.rest)) {
            return self.set(severity, bytes);
        }
        if let [letter] = word.text.as_bytes() {
            return self.letter(*letter, word);
        }
        let word = Word { after: word.after | marks_far_behind(word, place), ..word };
        let severity = self.word_level(word, place);
        if let Some(severity) = severity {
            let bytes = word.bytes(self.head.rest);
            return self.set(severity, bytes);
        }
        self.joined(word, place)
    }

    fn word_level(&self, word: Word<'a>, place: u8) -> Option<Severity> {
        let form = word.form();
        // `Error: no stock` in a message is the name of an exception.
        if self.place == Place::Message
            && place == place::FIRST
            && form == form::CAPITALISED
            && !is_displayed_by_php(self.head.rest)
        {
            return None;
        }
        let fits = |row: &&Row| {
            row.place & place != 0
                && (row.before & word.before != 0 || row.before == mark::ANY)
                && row.form & form != 0
                && (row.after & word.after != 0 || row.after == mark::ANY)
        };
        let severity =
            EVIDENCE.iter().filter(fits).find_map(|row| Severity::of_text(word.text, row.words))?;
        let is_weak = place & (place::FIRST | place::INDENTED | place::NAMED) != 0;
        let is_value = !self.has_clock && word.is_followed_by(mark::COLON) && is_value(word.rest);
        let is_prose = is_weak
            && !word.is_followed_by(mark::COLON | mark::GROUP | mark::TIME)
            && !begins_message(word, place);
        let is_padded =
            place != place::INDENTED || word.is_followed_by(mark::COLON) || is_of_rich(word);
        let is_unsure = place == place::BARE
            || place == place::TIMED && form == form::LOWER && !word.is_followed_by(mark::COLON);
        let is_apart = !is_unsure || !begins_sentence(word);
        (!is_value && !is_prose && is_padded && is_apart).then_some(severity)
    }

    /// A level's letter: `E [8:main]` of semantic_logger, `E 2026-09-21 …` of Python, and Ruby's `E, [`, which names the level again
    /// behind the time.
    fn letter(&mut self, letter: u8, word: Word<'a>) -> bool {
        let is_first = self.place() == place::FIRST;
        if is_first && word.is_followed_by(mark::COMMA) && word.rest.starts_with(", [") {
            return self.take(1);
        }
        let Some(severity) = Severity::of_letter(letter) else { return false };
        let next = || beginning(word.rest).trim_start();
        let is_level = if is_first {
            word.after == mark::BLANK && stated_time(next()).is_some_and(|time| time.has_clock)
        } else {
            self.has_clock
                && (word.is_followed_by(mark::GROUP) || word.before & word.after & mark::FIELD != 0)
        };
        is_level && self.set(severity, 1)
    }

    /// A level that a sign joins to other fields: `ERRO[0000]` of logrus, `ERROR[11-26|15:00:00]` of log15, `ERROR:root:` of
    /// Python's basicConfig, `app:ERROR:`, `app.ERROR:` of Monolog, `UTC:10.0.0.1(54321):app@shop:[8]:ERROR:` of PostgreSQL.
    fn joined(&mut self, word: Word<'a>, place: u8) -> bool {
        let is_behind = place & (place::TIMED | place::GROUPED | place::BARE) != 0;
        if !is_behind && place & (place::FIRST | place::INDENTED | place::NAMED) == 0 {
            return false;
        }
        let Word { text, .. } = word;
        if is_behind && word.is_followed_by(mark::COLON) {
            let last = text.rsplit([':', '.']).next().unwrap_or_default();
            if let Some(severity) = Severity::of_text(last, Evidence::AfterTime) {
                let bytes = word.bytes(self.head.rest);
                return self.set(severity, bytes);
            }
        }
        let Some(end) = text.find(['[', ':', '-']) else { return false };
        let (level, behind) = text.split_at_checked(end).unwrap_or((text, ""));
        let is_name = |next: u8| !next.is_ascii_digit() && next != b'/';
        let (is_followed, bytes) = match behind.as_bytes() {
            [b'[', next, ..] => (next.is_ascii_digit(), end),
            [b':', next, _, ..] => (is_name(*next), end + 1),
            [b'-', ..] => (word.before & mark::DASH != 0 && is_behind, end + 1),
            _ => (false, 0),
        };
        let is_lower = is_behind && behind.starts_with(':');
        let of_form = || Severity::of_text(level, Evidence::Separated).filter(|_| is_lower);
        let found = Severity::of_text(level, Evidence::AfterTime).or_else(of_form);
        if let Some(severity) = found.filter(|_| is_followed) {
            return self.set(severity, bytes);
        }
        // `app:ERROR:declined`
        let mut parts = text.splitn(3, ':');
        let (Some(name), Some(level)) = (parts.next(), parts.next()) else { return false };
        let is_level = parts.next().is_some() || word.is_followed_by(mark::COLON);
        let found = Severity::of_text(level, Evidence::AtStart).filter(|_| is_level);
        let bytes = (name.len() + level.len() + 2).min(word.bytes(self.head.rest));
        let Some(severity) = found else { return false };
        self.head.has_others = true;
        self.set(severity, bytes)
    }

    /// The words of PHP's own messages, of V8 and of npm.
    fn phrase(&self) -> Option<(Severity, usize)> {
        const PHRASES: [(&str, Severity); 12] = [
            ("npm ERR! ", Severity::ERROR),
            ("npm error ", Severity::ERROR),
            ("npm WARN ", Severity::WARN),
            ("npm warn ", Severity::WARN),
            ("FATAL ERROR: ", Severity::FATAL),
            ("PHP Fatal error: ", Severity::ERROR),
            ("PHP Parse error: ", Severity::ERROR),
            ("PHP Warning: ", Severity::WARN),
            ("PHP Deprecated: ", Severity::WARN),
            ("PHP Notice: ", Severity::INFO),
            ("Fatal error: ", Severity::ERROR),
            ("Deprecated: ", Severity::WARN),
        ];
        let is_phrase = match self.head.rest.as_bytes().first() {
            Some(b'n' | b'F' | b'P') => true,
            Some(b'D') => is_displayed_by_php(self.head.rest),
            _ => false,
        };
        if !is_phrase {
            return None;
        }
        let found = PHRASES.iter().find(|(words, _)| self.head.rest.starts_with(words));
        found.map(|(words, severity)| (*severity, words.len()))
    }

    /// A logger's name before the level. It is set apart, has the form of a name, or stands behind a time.
    fn name(&mut self, word: Word<'a>) -> bool {
        let Word { text, rest, .. } = word;
        let has_severity = self.head.severity.is_some();
        if has_severity || text.is_empty() {
            return false;
        }
        let place = self.place();
        let has_sign = text.contains(['.', '_', '[', '@', '=']) || text.contains("::");
        let is_set_apart =
            word.is_followed_by(mark::TAB | mark::BAR | mark::DASH | mark::SPACED_COLON);
        if place == place::FIRST {
            let is_before_level = is_set_apart && !word.is_followed_by(mark::TAB)
                || word.is_followed_by(mark::COLON | mark::PADDED)
                || has_sign && rest.as_bytes().get(1).is_some_and(u8::is_ascii_uppercase);
            if is_before_level {
                self.only_behind = Some(place::NAMED);
            }
            return is_before_level && self.try_field(text.len());
        }
        if !(self.has_clock || self.has_group) {
            return false;
        }
        let is_list =
            word.is_followed_by(mark::SEMICOLON | mark::COMMA) && self.before & mark::FIELD != 0;
        let is_prefix = self.has_clock
            && word.is_followed_by(mark::COLON)
            && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        self.bare_names += usize::from(is_prefix);
        if text == "root" || is_set_apart || has_sign || is_list || is_prefix {
            return self.try_field(text.len());
        }
        let may_be_bare = self.has_clock
            && (self.may_have_bare_names || word.is_followed_by(mark::PADDED))
            && self.bare_names < MOST_BARE_NAMES
            && word.is_followed_by(mark::BLANK)
            && !is_english(text);
        if may_be_bare {
            self.bare_names += 1;
        }
        may_be_bare && self.try_field(text.len())
    }

    fn brackets(&mut self, close: u8) -> bool {
        let rest = self.head.rest;
        let mut bytes = rest.bytes().take(MAX_BYTES);
        let end = bytes.position(|byte| byte == close);
        steps::count(end.unwrap_or(MAX_BYTES));
        let Some(end) = end else { return false };
        let inner = rest.get(1..end).unwrap_or_default().trim();
        let after = rest.get(end + 1..).unwrap_or_default();
        let is_apart =
            after.is_empty() || after.starts_with([' ', '\t', ':', '[', '(', '-', '|', '\n', '\r']);
        if !is_apart || inner.contains('\n') {
            return false;
        }
        // A sentence may begin with parentheses.
        let is_level = || Severity::of_text(inner, Evidence::AtStart).is_some();
        if close == b')' && self.fields == 0 && !is_level() {
            return false;
        }
        self.only_behind = None;
        self.head.has_context |= inner.contains('=');
        self.in_brackets(inner);
        self.take(end + 1)
    }

    fn in_brackets(&mut self, inner: &'a str) {
        let of_text = |word| Severity::of_text(word, Evidence::Marked);
        if let Some(time) = stated_time(inner) {
            self.has_clock |= time.has_clock;
            self.may_have_bare_names |= time.has_clock;
            self.head.time = self.head.time.or(time.time);
            let behind = inner.get(time.bytes..).unwrap_or_default();
            let behind = behind.trim_start_matches([':', ' ', ',']);
            let word = behind.split([' ', '/']).next();
            self.head.has_others |= word.is_some_and(|word| word.len() < behind.len());
            let found = word.filter(|_| time.has_clock).and_then(of_text);
            self.head.severity = self.head.severity.or(found);
            return;
        }
        if let Some(ids) = trace_ids_in_brackets(inner) {
            self.head.trace = Some(ids);
            return;
        }
        self.has_group = true;
        if self.head.severity.is_some() {
            self.head.has_others = true;
            return;
        }
        self.head.severity = of_text(inner).or_else(|| self.level_in_group(inner));
        self.head.has_others |= of_text(inner).is_none();
    }

    /// A level beside a name in brackets.
    fn level_in_group(&self, inner: &str) -> Option<Severity> {
        let of_text = |word| Severity::of_text(word, Evidence::Marked);
        match inner.as_bytes() {
            // `[E 260921 14:13:20 web:12]` of Tornado
            [letter, b' ', b'0'..=b'9', ..] => return Severity::of_letter(*letter),
            [letter] if self.has_clock => return Severity::of_letter(*letter),
            _ => {}
        }
        let is_name = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        // `[core:error]` of Apache, `[ERROR:shop]`, `[ERROR/MainProcess]`
        if let Some((first, second)) = inner.split_once([':', '/'])
            && is_name(first)
            && is_name(second)
        {
            return of_text(second).or_else(|| of_text(first));
        }
        // `[NR_EXT ERROR]`
        let (name, level) = inner.split_once(' ')?;
        let is_sign = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-' | b'.');
        let is_constant = name.contains(['_', '-', '.']) && name.bytes().all(is_sign);
        Severity::of_text(level, Evidence::AtStart).filter(|_| is_constant)
    }

    /// A source file in braces, as Airflow writes; other braces begin JSON.
    fn braces(&mut self) -> bool {
        let word = self.word().text;
        let is_file = self.has_clock && word.ends_with('}') && !word.contains(['"', '\'']);
        self.head.has_others |= is_file;
        is_file && self.take(word.len())
    }

    /// A level in angle brackets, or zerolog's `<nil>` where the time is missing.
    fn angles(&mut self) -> bool {
        let rest = self.head.rest;
        let Some((inner, after)) = beginning(rest).get(1..).and_then(|text| text.split_once('>'))
        else {
            return false;
        };
        steps::count(inner.len());
        if self.fields > 0 && !self.has_clock || !after.starts_with(' ') {
            return false;
        }
        if inner == "nil" {
            self.has_clock = true;
            return self.take(inner.len() + 2);
        }
        let severity = Severity::of_text(inner, Evidence::Separated);
        let severity = severity.filter(|_| self.head.severity.is_none());
        severity.is_some_and(|severity| self.set(severity, inner.len() + 2))
    }

    /// The priority of syslog, `<11>` (RFC 5424, 6.2.1), with the version that may follow.
    fn syslog(&mut self) -> bool {
        const MOST_DIGITS: usize = 3;
        let Some(rest) = self.head.rest.strip_prefix('<').filter(|_| self.fields == 0) else {
            return false;
        };
        let digits = rest.bytes().take(MOST_DIGITS).take_while(u8::is_ascii_digit).count();
        steps::count(digits);
        let (priority, behind) = rest.split_at_checked(digits).unwrap_or_default();
        let Some(after) = behind.strip_prefix('>') else { return false };
        let is_priority = !after.starts_with(' ');
        let number = priority.parse::<i64>().ok().filter(|number| is_priority && *number < 192);
        let Some(severity) = number.and_then(|number| Severity::of_syslog(number % 8)) else {
            return false;
        };
        let version = usize::from(after.starts_with("1 "));
        self.set(severity, priority.len() + 2 + version)
    }
}

/// `E0921 14:13:20.000000` of klog and glog.
fn klog(word: &str, after: &str) -> Option<(Severity, usize)> {
    let (letter, date) = word.as_bytes().split_first()?;
    let is_date = date.len() == 4 && date.iter().all(u8::is_ascii_digit);
    let has_clock = || stated_time(after.strip_prefix(' ')?).map(|time| time.has_clock);
    let severity = Severity::of_letter(*letter).filter(|_| is_date && has_clock() == Some(true));
    severity.map(|severity| (severity, word.len()))
}

/// The beginning of a text, which is all that a decision about a field may read.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::hostile::{self, PLAIN, Place as Content};

    /// The bytes that readers looked at, and the bytes of the head.
    fn steps(line: &str, place: Place) -> (usize, usize) {
        let (steps, head) = steps::of(|| head(line, place));
        (steps, line.len() - head.rest.len())
    }

    /// Whatever the structure of the reader: each byte of a head is read a few times, and of the message only the bytes of as many
    /// words as a head may have.
    #[test]
    fn each_byte_of_a_head_is_looked_at_a_bounded_number_of_times() {
        const READINGS: usize = 3;
        const IN_MESSAGE: usize = 2 * MAX_FIELDS * MAX_BYTES;
        for family in hostile::families().chain([&PLAIN]) {
            let (sizes, is_one): (&[usize], bool) = match family.place {
                Content::Head => (&[512, 4096, 65_536], true),
                Content::Heads => (&[4096], false),
                _ => continue,
            };
            for content in sizes.iter().map(|bytes| family.content(*bytes)) {
                let lines = if is_one { vec![content.as_str()] } else { content.lines().collect() };
                for (line, place) in
                    lines.into_iter().flat_map(|line| [(line, Place::Line), (line, Place::Message)])
                {
                    let (steps, bytes) = steps(line, place);
                    let told = format!(
                        "{}: {steps} steps for a head of {bytes} bytes in {}",
                        family.name,
                        line.len()
                    );
                    assert!(steps <= READINGS * bytes + IN_MESSAGE, "{told}");
                    // A reader that counts nothing would pass.
                    assert!(steps >= bytes, "{told}");
                }
            }
        }
    }
}
