//! Reads what runtimes and loggers put before a message, by this grammar:
//!
//! ```text
//! line      = [blanks] { field separator } message
//! field     = time | level | name | group | number | id | priority
//! time      = a date, a time of day, or both; `<nil>` of zerolog           (`read/time`)
//! level     = a word of `LEVELS` or its letter, or a phrase                (`read/severity`, `evidence`)
//! name      = a word before the level: logger, thread, host, or file       (`evidence`)
//! group     = "[" … "]" | "(" … ")" | "{" file "}" | "<" level ">": a time, a level, trace ids, or a name
//! number    = digits: a process, a line, or the time since the start
//! id        = request id | ids of a trace | CloudFront's id
//! priority  = "<" number ">" of syslog
//! separator = blanks | tab | "|" | ":" | "," | ";" | dashes, arrows and symbols (`word`)
//! ```
//!
//! Whether a word is a level or a name depends on where it stands in this sequence: on the fields before it, on the separators around
//! it, and on its form (`sets`). The tables in `evidence` have a row for each kind of such a place. A row says which words are levels
//! there, fewer words where the evidence is weaker, and whether they are certain: only loggers write so. In a doubtful place, `prose`
//! looks at what follows. A logger with another order of fields needs a row; a level word inside a sentence fits none.
//!
//! A name or a number may also begin the message. It is taken on trial: if no level follows, the head ends before it. So each
//! field is read once, and a head has at most [`MAX_FIELDS`] fields of [`MAX_BYTES`]. After the fields of Lambda's runtimes, or
//! another program's prefix, a whole line may begin.

mod evidence;
mod group;
mod prose;
mod sets;
mod word;

use crate::read::begins;
use crate::read::crash::begins_with_exception;
use crate::read::ids::{TraceIds, is_uuid, trace_ids_in_brackets};
use crate::read::keys::role;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;
use crate::read::time::{LineTime, StatedTime, stated_time};
use evidence::{Name, level_of, level_of_phrase, name_of};
use group::{Bracketed, level_near_name};
use prose::is_english;
use sets::{Forms, Marks, Places, form, mark, place};
use word::HeadWord;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the head")]
pub(crate) struct Head<'a> {
    pub(crate) severity: Option<Severity>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) time: Option<LineTime>,
    pub(crate) trace: Option<TraceIds>,
    /// `true` if the head has more than these fields, such as a logger's name.
    pub(crate) has_others: bool,
    /// `true` if a tracer added its context in brackets.
    pub(crate) has_context: bool,
    /// `true` after the fields of Lambda's runtimes: time and request id.
    is_of_runtime: bool,
    /// `true` if the level is that of the stream to which a function printed, and no logger's.
    pub(crate) has_level_of_runtime: bool,
    pub(crate) rest: &'a str,
}

/// The text whose head is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadOf {
    Line,
    /// What a function printed, in a record of Lambda's runtime.
    Message,
    /// The message in a logger's record. The logger stated the level, so that only the head of another one counts, and no bare word.
    LoggedMessage,
}

/// Reads the head of a line without colours.
pub(crate) fn head(line: &str, of: HeadOf) -> Head<'_> {
    let mut head = scan(line, of);
    // lambda_runtime for Rust names the request in its span.
    let after_key = head.rest.strip_prefix("Lambda runtime invoke{requestId=\"");
    let in_span = after_key.and_then(|rest| rest.split('"').next()).filter(|id| is_uuid(id));
    head.request_id = head.request_id.or(in_span);
    if head.is_of_runtime {
        // What a function prints may be a line of a logger, whose level is more exact than the runtime's. Python's runtime prefixes only
        // what its own logger logs.
        let is_logged = line.starts_with('[');
        let of = if is_logged { HeadOf::LoggedMessage } else { HeadOf::Message };
        let inner = scan(head.rest, of);
        head.has_level_of_runtime = !is_logged && inner.severity.is_none();
        head.severity = inner.severity.or(head.severity);
        head.has_others |= inner.has_others;
        head.has_context |= inner.has_context;
        head.trace = inner.trace.or(head.trace);
        head.rest = inner.rest;
    }
    head
}

fn scan(line: &str, of: HeadOf) -> Head<'_> {
    if begins_like_prose(line) || begins_with_exception(line) {
        return Head { rest: line, ..Head::default() };
    }
    let mut scan = Scan::new(line, of);
    scan.run();
    if of == HeadOf::LoggedMessage && scan.fields < MIN_FIELDS_OF_LOGGED && !scan.has_clock() {
        return Head { rest: line, ..Head::default() };
    }
    if scan.head.severity.is_none() && scan.has_clock() {
        scan.head.severity = level_in_second_line(line);
    }
    scan.head
}

/// Returns `true` for most messages: two words in lower case, or a word and a number, of which none begins a head.
fn begins_like_prose(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letters = bytes.iter().take(MAX_BYTES).take_while(|byte| byte.is_ascii_lowercase()).count();
    let is_next = matches!(bytes.get(letters..), Some([b' ', b'a'..=b'z' | b'0'..=b'9', ..]));
    steps::count(letters + 1);
    letters > 1 && is_next && !text.starts_with("npm ")
}

/// The level of `java.util.logging`, whose default format begins the second line with it.
fn level_in_second_line(line: &str) -> Option<Severity> {
    let (_, after_first) = line.split_once('\n')?;
    let second = beginning(after_first);
    let word = second.get(..second.find(": ")?)?;
    Severity::of_text(word, LevelWordSet::Upper)
}

/// Reads the fields of a head, one after the other. A method `read_…` reads a field if it stands there, and returns `true` if it did.
struct Scan<'a> {
    head: Head<'a>,
    of: HeadOf,
    /// Number of fields read so far.
    fields: usize,
    /// Number of other programs' prefixes before the line.
    prefixes: usize,
    /// The state before the first name or number that no level followed so far.
    before_trial: Option<BeforeTrial<'a>>,
    /// The place of words after the time of day: [`place::TIMED`] or [`place::GO_TIMED`]. `None` before one.
    after_clock: Option<Places>,
    /// The place of words after a name or a number that begins the line: [`place::NAMED`] or [`place::NUMBERED`].
    after_first: Option<Places>,
    /// Number of words without a mark of a name after the time.
    bare_names: usize,
    is_indented: bool,
    /// `true` after a name in brackets.
    has_group: bool,
    /// The separators before the next field.
    before: Marks,
}

struct BeforeTrial<'a> {
    head: Head<'a>,
    after_clock: Option<Places>,
}

/// What a logger logged is a head only with a time or another field beside its level: otherwise it is a text that begins so.
const MIN_FIELDS_OF_LOGGED: usize = 2;
/// A line has at most this many fields before its message.
const MAX_FIELDS: usize = 12;
/// Other programs put a prefix before a line, such as Kubernetes. The fields are counted again after each.
const MAX_PREFIXES: usize = 2;
/// A field is shorter.
const MAX_BYTES: usize = 128;
/// More words after a time are prose.
const MAX_BARE_NAMES: usize = 3;

impl<'a> Scan<'a> {
    fn new(line: &'a str, of: HeadOf) -> Self {
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
    fn run(&mut self) {
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
    fn begin_again(&mut self, rest: &'a str) -> bool {
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
    fn has_clock(&self) -> bool {
        self.after_clock.is_some()
    }

    fn word(&self) -> HeadWord<'a> {
        HeadWord::first_of(self.head.rest, self.before)
    }

    /// The place of the next word.
    fn place(&self) -> Places {
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
    fn take(&mut self, bytes: usize) -> bool {
        self.fields += 1;
        self.pass(bytes);
        true
    }

    fn take_level(&mut self, severity: Severity, bytes: usize) -> bool {
        self.head.severity = Some(severity);
        self.take(bytes)
    }

    /// Takes a name or a number that only a following level makes a part of the head.
    fn take_on_trial(&mut self, bytes: usize) -> bool {
        if self.before_trial.is_none() {
            let head = self.head.clone();
            self.before_trial = Some(BeforeTrial { head, after_clock: self.after_clock });
        }
        self.head.has_others = true;
        self.take(bytes)
    }

    fn pass(&mut self, bytes: usize) {
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

    fn set_time(&mut self, time: &StatedTime, place: Places) {
        if time.has_clock && !self.after_clock.is_some_and(|known| known.intersects(place::TIMED)) {
            self.after_clock = Some(place);
        }
        self.head.time = self.head.time.or(time.time);
    }

    fn read_id(&mut self, word: &HeadWord<'a>) -> bool {
        self.read_request_id(word) || self.read_trace_ids(word) || self.pass_prefix(word)
    }

    /// Reads a request id, or its placeholder during the init phase.
    fn read_request_id(&mut self, word: &HeadWord<'a>) -> bool {
        let HeadWord { text, rest, .. } = *word;
        if is_uuid(text) && (self.fields > 0 || rest.starts_with('\t')) {
            self.head.is_of_runtime |= self.has_clock();
            self.head.request_id = self.head.request_id.or(Some(text));
            return self.take(text.len());
        }
        if text == "undefined" && word.is_preceded_by(mark::TAB) && self.has_clock() {
            self.head.is_of_runtime = true;
            return self.take(text.len());
        }
        false
    }

    /// Reads a trace id and a span id: `… | 5b8aa5a2d2c872e8321cf37308d69df2 051581bf3cb55c13 | declined`.
    fn read_trace_ids(&mut self, word: &HeadWord<'a>) -> bool {
        if !word.is_preceded_by(mark::BAR) {
            return false;
        }
        let Some(trace_id) = wire::ids::id(word.text) else { return false };
        let span = HeadWord::first_of(word.rest.trim_start(), mark::BLANK);
        let span_id = wire::ids::id(span.text).filter(|_| span.is_followed_by(mark::BAR));
        if span_id.is_none() {
            return false;
        }
        self.head.trace = Some(TraceIds { trace_id, span_id });
        self.take(span.bytes(self.head.rest))
    }

    /// Passes another program's prefix, after which a whole line begins.
    fn pass_prefix(&mut self, word: &HeadWord<'a>) -> bool {
        const CLOUDFRONT_BYTES: usize = 40;
        // glog, used before the flags of its program are known.
        const BEFORE_FLAGS: &str = " logging before flag.Parse: ";
        let HeadWord { text, rest, .. } = *word;
        if let Some(line) = rest.strip_prefix(BEFORE_FLAGS).filter(|_| text == "ERROR") {
            return self.begin_again(line);
        }
        // Kubernetes' log files: `TIME stderr F …`
        if self.has_clock() && matches!(text, "stdout" | "stderr") && rest.starts_with(" F ") {
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

    /// Reads a process or line number after other fields, such as `8` of Spring and `8#8:` of nginx, or the time since the start.
    fn read_number(&mut self, word: &HeadWord<'a>) -> bool {
        const MAX_DIGITS: usize = 20;
        let text = word.text;
        // tracing-subscriber's time since the start: `0.000537818s`.
        let of_seconds = || text.strip_suffix('s').filter(|number| number.contains('.'));
        let uptime = text.strip_suffix("ms").or_else(of_seconds);
        let is_number = uptime
            .unwrap_or(text)
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"#:*.".contains(&byte));
        // A list of values is no head.
        let is_value = word.is_followed_by(mark::COMMA | mark::SEMICOLON);
        if !is_number || is_value || text.len() > MAX_DIGITS || self.after_first.is_some() {
            return false;
        }
        if self.fields == 0 {
            if uptime.is_some() && word.is_followed_by(mark::CAPITAL) {
                self.after_clock = Some(place::TIMED);
                return self.take(text.len());
            }
            let next = beginning(word.rest).trim_start();
            let is_before_time = || stated_time(next).is_some_and(|time| time.has_clock);
            // Minutes and seconds since the start, `00:05`, are before a level.
            let marks =
                if text.contains(':') { mark::CAPITAL } else { mark::CAPITAL | mark::GROUP };
            let may_be_head = !self.is_indented && (word.is_followed_by(marks) || is_before_time());
            if !may_be_head {
                return false;
            }
            self.after_first = Some(place::NUMBERED);
            return self.take_on_trial(text.len());
        }
        let is_begin = self.after_clock == Some(place::GO_TIMED) && !self.has_group;
        let may_be_process = self.head.severity.is_none() && !is_begin;
        let is_process = may_be_process || beginning(word.rest).trim_start().starts_with("---");
        if !is_process {
            return false;
        }
        self.head.has_others = true;
        self.take(word.bytes(self.head.rest))
    }

    fn read_level(&mut self, word: &HeadWord<'a>) -> bool {
        if let Some(known) = self.head.severity {
            // Ruby's logger names the level after its letter.
            let is_again = Severity::of_text(word.text, LevelWordSet::Upper) == Some(known);
            if !is_again {
                return false;
            }
            return self.take(word.text.len());
        }
        if let Some(phrase) = level_of_phrase(self.head.rest) {
            return self.take_level(phrase.severity, phrase.bytes);
        }
        let place = self.place();
        // `Error: no stock` in a message is the name of an exception.
        let may_be_exception = self.of != HeadOf::Line && place == place::FIRST;
        if may_be_exception && Forms::of(word.text) == form::CAPITALISED {
            return false;
        }
        let Some(severity) = level_of(word, place) else { return false };
        self.take_level(severity, word.bytes(self.head.rest))
    }

    /// Reads a name before the level.
    fn read_name(&mut self, word: &HeadWord<'a>) -> bool {
        if self.head.severity.is_some() {
            let is_column = word.is_preceded_by(mark::BAR) && word.is_followed_by(mark::BAR);
            if !is_column {
                return false;
            }
            self.head.has_others = true;
            return self.take(word.text.len());
        }
        let place = self.place();
        let Some(name) = name_of(word, place).filter(|_| !is_other_field(word.text, place)) else {
            return false;
        };
        if name == Name::Bare {
            if self.bare_names == MAX_BARE_NAMES || is_english(word.text) {
                return false;
            }
            self.bare_names += 1;
        }
        self.has_group |= name == Name::Sure;
        if place == place::FIRST {
            self.after_first = Some(place::NAMED);
        }
        self.take_on_trial(word.text.len())
    }

    /// Reads a time, a level, ids or a name in brackets, zerolog's `<nil>` in place of a time, or a file in braces, as Airflow writes it.
    fn read_group(&mut self) -> bool {
        let Some(group) = Bracketed::at_start(self.head.rest) else { return false };
        let is_apart = group.is_apart() || group.open == b'[' && self.is_level_in_brackets(&group);
        let is_symbol = !group.inner.bytes().any(|byte| byte.is_ascii_alphanumeric());
        if !is_apart || is_symbol || group.inner.contains('\n') || !self.allows_group(&group) {
            return false;
        }
        if group.inner == "nil" {
            self.after_clock = Some(place::TIMED);
        } else {
            self.head.has_context |= group.inner.contains('=');
            self.read_in_group(group.inner);
        }
        self.take(group.bytes)
    }

    /// `[14:13:20][ERROR]declined`
    fn is_level_in_brackets(&self, group: &Bracketed<'_>) -> bool {
        self.has_clock() && Severity::of_text(group.inner, LevelWordSet::UpperUsual).is_some()
    }

    /// Returns `true` if brackets of this kind with this content are a field here, and not the beginning of a message.
    fn allows_group(&self, group: &Bracketed<'_>) -> bool {
        let is_level = |words| Severity::of_text(group.inner, words).is_some();
        match group.open {
            // `shop: [WARN] low`, `shop[WARN] low`
            _ if self.place() == place::NAMED => {
                group.open == b'['
                    && (self.before.intersects(mark::COLON) || self.before == Marks::NONE)
                    && is_level(LevelWordSet::Upper)
            }
            b'[' => true,
            // A sentence may begin with parentheses.
            b'(' => {
                let is_begin = self.fields == 0 || self.after_clock == Some(place::GO_TIMED);
                !is_begin
                    || is_level(LevelWordSet::UpperUsual)
                    || is_level(LevelWordSet::Usual) && !is_english(beginning(group.after))
                    || group.after.starts_with(" [")
            }
            b'<' => {
                let is_alone = self.fields == 0 || self.has_clock();
                is_alone && (group.inner == "nil" || is_level(LevelWordSet::Usual))
            }
            _ => {
                self.has_clock() && group.inner.contains(':') && !group.inner.contains(['"', '\''])
            }
        }
    }

    fn read_in_group(&mut self, inner: &'a str) {
        let of_text = |word: &str| match word.as_bytes() {
            [letter @ b'A'..=b'Z'] => Severity::of_letter(*letter),
            _ => Severity::of_text(word, LevelWordSet::Any),
        };
        if let Some(time) = stated_time(inner) {
            self.set_time(&time, place::TIMED);
            let following =
                inner.get(time.bytes..).unwrap_or_default().trim_start_matches([':', ' ', ',']);
            let word = following.split([' ', '/']).next();
            self.head.has_others |= word.is_some_and(|word| word.len() < following.len());
            let found = word.filter(|_| time.has_clock).and_then(of_text);
            self.head.severity = self.head.severity.or(found);
            return;
        }
        if let Some(ids) = trace_ids_in_brackets(inner) {
            self.head.trace = Some(ids);
            return;
        }
        self.has_group = true;
        let found = of_text(inner);
        self.head.has_others |= found.is_none() || self.head.severity.is_some();
        self.head.severity =
            self.head.severity.or(found).or_else(|| level_near_name(inner, self.has_clock()));
    }

    /// Reads the priority of syslog, `<11>` (RFC 5424, 6.2.1), with the version that may follow.
    fn read_priority(&mut self) -> bool {
        const MAX_DIGITS: usize = 3;
        let Some(rest) = self.head.rest.strip_prefix('<').filter(|_| self.fields == 0) else {
            return false;
        };
        let digits = rest.bytes().take(MAX_DIGITS).take_while(u8::is_ascii_digit).count();
        steps::count(digits);
        let (priority, following) = rest.split_at_checked(digits).unwrap_or_default();
        let Some(after) = following.strip_prefix('>').filter(|after| !after.starts_with(' '))
        else {
            return false;
        };
        let number = priority.parse::<i64>().ok().filter(|number| *number < 192);
        let Some(severity) = number.and_then(|number| Severity::of_syslog(number % 8)) else {
            return false;
        };
        let version = usize::from(after.starts_with("1 "));
        self.take_level(severity, priority.len() + 2 + version)
    }
}

/// Returns `true` for a level, and for a pair whose key has a meaning in a logger's record: neither is a name.
fn is_other_field(word: &str, place: Places) -> bool {
    match word.split_once('=') {
        Some((key, _)) => role(key).is_some(),
        None => place == place::FIRST && Severity::of_text(word, LevelWordSet::Usual).is_some(),
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

/// The beginning of a text, which is all that a decision about a field may read.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::hostile::{self, PLAIN, Place as Content};

    /// The bytes that readers looked at, and the bytes of the head.
    fn steps(line: &str, of: HeadOf) -> (usize, usize) {
        let (steps, head) = steps::counted_in(|| head(line, of));
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
                for (line, of) in lines
                    .into_iter()
                    .flat_map(|line| [(line, HeadOf::Line), (line, HeadOf::Message)])
                {
                    let (steps, bytes) = steps(line, of);
                    let counted = format!(
                        "{}: {steps} steps for a head of {bytes} bytes in {}",
                        family.name,
                        line.len()
                    );
                    assert!(steps <= READINGS * bytes + IN_MESSAGE, "{counted}");
                    // A reader that counts nothing would pass.
                    assert!(steps >= bytes, "{counted}");
                }
            }
        }
    }
}
