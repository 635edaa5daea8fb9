//! Reads what runtimes and loggers put before a message: times, level, request id, process and names, in any order.
//!
//! A word is a level only where a logger puts one: in brackets, before a colon, between separators, as the line's first word, or
//! behind a time or a name in brackets. A word inside a sentence never is.

use crate::read::begins;
use crate::read::ids::{TraceIds, is_uuid, trace_ids_in_brackets};
use crate::read::severity::{Evidence, Severity};
use crate::read::steps;
use crate::read::time::{LineTime, stated_time};

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
    /// The scan before the first name that no level followed so far.
    on_trial: Option<BeforeName<'a>>,
    has_clock: bool,
    /// `true` after a name in brackets.
    has_name: bool,
    /// `true` after the fields of Lambda's runtimes: time and request id.
    is_runtime: bool,
    /// `true` if a tab or bar precedes the next field.
    is_marked: bool,
}

/// The scan before a name, for the case that the name belongs to the message.
struct BeforeName<'a> {
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

impl<'a> Scan<'a> {
    fn new(line: &'a str, place: Place) -> Self {
        let whole = line;
        let line = whole.trim_start_matches(['\n', '\r', '\u{feff}']);
        steps::count(whole.len() - line.len());
        // tracing-subscriber without a time pads its levels.
        let rest = line.strip_prefix("  ").or_else(|| line.strip_prefix(' ')).unwrap_or(line);
        Self {
            head: Head { rest, ..Head::default() },
            place,
            fields: 0,
            prefixes: 0,
            on_trial: None,
            has_clock: false,
            has_name: false,
            is_runtime: false,
            is_marked: false,
        }
    }

    /// Reads the fields before the message, each once: a name is taken on trial, and given back if no level follows.
    fn run(&mut self) {
        // Behind a runtime's prefix another line may begin.
        let is_complete = |scan: &Self| scan.is_runtime && scan.head.severity.is_some();
        while self.fields < MAX_FIELDS && !is_complete(self) && self.field() {
            if self.fields > 0 {
                self.skip_separators();
            }
        }
        if let Some(before) = self.on_trial.take().filter(|_| self.head.severity.is_none()) {
            let BeforeName { head, has_clock, is_runtime } = before;
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
            b'[' => self.brackets(b']'),
            b'(' => self.fields > 0 && self.brackets(b')'),
            b'<' => self.syslog(),
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
        self.take(bytes)
    }

    fn skip_separators(&mut self) {
        self.is_marked = false;
        loop {
            let rest = self.head.rest;
            let bytes = match rest.as_bytes() {
                [b'\t', b'\t', ..] => {
                    // The request id is empty during the init phase.
                    self.is_runtime |= self.has_clock;
                    self.is_marked = true;
                    2
                }
                [b'\t' | b'|', ..] => {
                    self.is_marked = true;
                    1
                }
                [b' ', ..] => 1,
                [b':' | b',', b' ' | b'\t', ..] => 2,
                [b':', b'A'..=b'Z', ..] if self.has_clock => 1,
                [b'-' | b'>', ..] => {
                    let dashes =
                        rest.bytes().take_while(|byte| matches!(byte, b'-' | b'>')).count();
                    if rest.as_bytes().get(dashes) != Some(&b' ') {
                        return;
                    }
                    dashes
                }
                _ => return,
            };
            self.pass(bytes);
        }
    }

    fn word(&self) -> (&'a str, &'a str) {
        let rest = self.head.rest;
        let end = rest
            .bytes()
            .take(MAX_BYTES)
            .position(|byte| matches!(byte, b' ' | b'\t' | b'|' | b'\n' | b'\r'))
            .unwrap_or_else(|| rest.floor_char_boundary(MAX_BYTES));
        steps::count(end);
        rest.split_at_checked(end).unwrap_or((rest, ""))
    }

    fn time(&mut self) -> bool {
        steps::count(1);
        let Some(time) = stated_time(self.head.rest) else { return false };
        steps::count(time.bytes);
        self.has_clock |= time.has_clock;
        self.head.time = self.head.time.or(time.time);
        self.take(time.bytes)
    }

    /// A request id, its placeholder during the init phase, or the id that CloudFront Functions put before each line.
    fn id(&mut self, (word, after): (&'a str, &'a str)) -> bool {
        const CLOUDFRONT_BYTES: usize = 40;
        if is_uuid(word) && (self.fields > 0 || after.starts_with('\t')) {
            self.is_runtime |= self.has_clock;
            self.head.request_id = self.head.request_id.or(Some(word));
            return self.take(word.len());
        }
        if word == "undefined" && self.is_marked && self.has_clock {
            self.is_runtime = true;
            return self.take(word.len());
        }
        // Kubernetes' log files: `TIME stderr F …`
        if self.has_clock && matches!(word, "stdout" | "stderr") && after.starts_with(" F ") {
            let is_begun = self.begin_again(after.get(3..).unwrap_or_default());
            self.head.has_others |= is_begun;
            return is_begun;
        }
        let is_of_cloudfront = self.fields == 0
            && word.len() >= CLOUDFRONT_BYTES
            && word.strip_suffix("==").is_some_and(|id| {
                id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+/".contains(&byte))
            });
        if is_of_cloudfront {
            let rest = self.head.rest.get(word.len()..).unwrap_or_default();
            return self.begin_again(rest.strip_prefix(' ').unwrap_or(rest));
        }
        false
    }

    /// A process or line number behind other fields, such as `8` of Spring and `8#8:` of nginx.
    fn number(&mut self, (word, after): (&'a str, &'a str)) -> bool {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || b"#:*".contains(&byte));
        let is_process =
            self.head.severity.is_none() || beginning(after).trim_start().starts_with("---");
        if is_number && is_process && self.fields > 0 && word.len() <= 16 {
            self.head.has_others = true;
            return self.take(word.len());
        }
        false
    }

    fn level(&mut self, (word, after): (&'a str, &'a str)) -> bool {
        if self.head.severity.is_some() {
            return false;
        }
        let has_evidence = self.has_clock || self.has_name;
        // Most messages begin with an ordinary word.
        let is_ordinary = matches!(word.as_bytes(), [_, b'a'..=b'z', ..])
            && !word.ends_with(':')
            && !matches!(word, "npm" | "Fatal");
        if is_ordinary && !has_evidence {
            return false;
        }
        if let Some((severity, bytes)) = self.phrase().or_else(|| klog(word, after)) {
            return self.set(severity, bytes);
        }
        // Ruby's logger begins with the level's letter, and names it again behind the time.
        if self.fields == 0 && word.len() == 2 && word.ends_with(',') && after.starts_with(" [") {
            return self.take(word.len());
        }
        if let Some(level) = word.strip_suffix(':') {
            let is_word = level.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_capitalised = level.bytes().any(|byte| byte.is_ascii_uppercase())
                && level.bytes().any(|byte| byte.is_ascii_lowercase());
            let evidence = match () {
                // `Error: no stock` in a message is the name of an exception.
                () if self.place == Place::Message && is_capitalised => None,
                () if has_evidence => Some(Evidence::Marked),
                () if self.fields == 0 => Some(Evidence::AtStartWithColon),
                () => None,
            };
            if is_word && let Some(evidence) = evidence {
                let found = Severity::of_text(level, evidence)
                    .filter(|_| self.has_clock || !is_value(after));
                return found.is_some_and(|severity| self.set(severity, word.len()));
            }
            // PostgreSQL's `UTC:10.0.0.1(54321):app@shop:[8]:ERROR:`, and Monolog's `app.ERROR:`
            let last = level.rsplit([':', '.']).next().unwrap_or_default();
            let found = Severity::of_text(last, Evidence::AfterTime).filter(|_| has_evidence);
            return found.is_some_and(|severity| self.set(severity, word.len()));
        }
        let is_marked_after =
            after.starts_with('\t') || beginning(after).trim_start().starts_with('|');
        let evidence = match () {
            () if self.is_marked && is_marked_after => Some(Evidence::Marked),
            () if has_evidence => Some(Evidence::AfterTime),
            () if self.fields == 0 && begins_message(after) => Some(Evidence::AtStart),
            () if self.fields == 0 && after.starts_with(" [") => Some(Evidence::AfterTime),
            () => None,
        };
        if let Some(severity) = evidence.and_then(|evidence| Severity::of_text(word, evidence)) {
            return self.set(severity, word.len());
        }
        if self.fields > 0 && !has_evidence {
            return false;
        }
        // `E [8:main]` of semantic_logger
        if let [letter] = word.as_bytes()
            && self.has_clock
            && after.starts_with(" [")
            && let Some(severity) = Severity::of_letter(*letter)
        {
            return self.set(severity, word.len());
        }
        // `ERRO[0000]` of logrus, `ERROR[11-26|15:00:00]` of log15, `ERROR:root:` of Python's basicConfig
        let end = word.find(['[', ':']).unwrap_or(word.len());
        let (level, behind) = word.split_at_checked(end).unwrap_or((word, ""));
        let is_followed = match behind.as_bytes() {
            [b'[', next, ..] => next.is_ascii_digit(),
            [b':', next, ..] => !next.is_ascii_digit() && *next != b'/' && behind.len() > 2,
            _ => false,
        };
        let found = Severity::of_text(level, Evidence::AfterTime).filter(|_| is_followed);
        let bytes = if behind.starts_with('[') { level.len() } else { level.len() + 1 };
        found.is_some_and(|severity| self.set(severity, bytes))
    }

    /// The words of PHP's own messages, of V8 and of npm.
    fn phrase(&self) -> Option<(Severity, usize)> {
        const PHRASES: [(&str, Severity); 11] = [
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
        ];
        if !self.head.rest.starts_with(['n', 'F', 'P']) {
            return None;
        }
        let found = PHRASES.iter().find(|(words, _)| self.head.rest.starts_with(words));
        found.map(|(words, severity)| (*severity, words.len()))
    }

    /// A logger's name between the time and the level. It is set apart, or has the form of a name.
    fn name(&mut self, (word, after): (&'a str, &'a str)) -> bool {
        if self.head.severity.is_some() {
            return false;
        }
        if !(self.has_clock || self.has_name) {
            return self.fields == 0 && self.name_and_level(word, after);
        }
        let is_set_apart = after.starts_with('\t') || begins(after, &[" - ", " | ", "|", " : "]);
        let is_name =
            word == "root" || word.contains(['.', '_', '[', '@', '=']) || word.contains("::");
        if word.is_empty() || !(is_set_apart || is_name) {
            return false;
        }
        // Only a level makes the word a part of the head.
        if self.on_trial.is_none() {
            let Self { has_clock, is_runtime, .. } = *self;
            self.on_trial = Some(BeforeName { head: self.head.clone(), has_clock, is_runtime });
        }
        self.head.has_others = true;
        self.take(word.len())
    }

    /// `app - ERROR - …` or `app | ERROR | …`, without a time.
    fn name_and_level(&mut self, word: &str, after: &str) -> bool {
        if !after.starts_with(" - ") && !after.starts_with(" | ") {
            return false;
        }
        let after = beginning(after);
        steps::count(after.len());
        let level = [" - ", " | "].iter().find_map(|between| {
            after.strip_prefix(between)?.split_once(between).map(|(level, _)| level.trim())
        });
        let severity = level.and_then(|level| Severity::of_text(level, Evidence::AfterTime));
        self.has_name = severity.is_some();
        self.head.has_others |= severity.is_some();
        severity.is_some() && self.take(word.len())
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
        self.head.has_context |= inner.contains('=');
        self.in_brackets(inner);
        self.take(end + 1)
    }

    fn in_brackets(&mut self, inner: &'a str) {
        let of_text = |word| Severity::of_text(word, Evidence::Marked);
        let is_name = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        if let Some(time) = stated_time(inner) {
            self.has_clock |= time.has_clock;
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
        self.has_name = true;
        if self.head.severity.is_some() {
            self.head.has_others = true;
            return;
        }
        self.head.severity = of_text(inner).or_else(|| {
            // `[E 260921 14:13:20 web:12]` of Tornado
            if let [letter, b' ', b'0'..=b'9', ..] = inner.as_bytes() {
                return Severity::of_letter(*letter);
            }
            // `[core:error]` of Apache, `[ERROR:shop]`
            let (first, second) = inner.split_once(':')?;
            let words = if is_name(first) && is_name(second) { [second, first] } else { ["", ""] };
            words.into_iter().find_map(of_text)
        });
        self.head.has_others |= of_text(inner).is_none();
    }

    /// A source file in braces, as Airflow writes; other braces begin JSON.
    fn braces(&mut self) -> bool {
        let (word, _) = self.word();
        let is_file = self.has_clock && word.ends_with('}') && !word.contains(['"', '\'']);
        self.head.has_others |= is_file;
        is_file && self.take(word.len())
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

/// Returns `true` if the text after `error:` is the value of something with this name, such as `error: none`.
fn is_value(text: &str) -> bool {
    const VALUES: [&str; 11] =
        ["true", "false", "null", "nil", "none", "undefined", "yes", "no", "on", "off", "nan"];
    let word = beginning(text).split_ascii_whitespace().next().unwrap_or_default();
    steps::count(word.len());
    let word = word.trim_end_matches([',', ';', '%', '.']);
    let is_only_word = text.trim().len() <= word.len() + 1;
    word.parse::<f64>().is_ok()
        || is_only_word && VALUES.iter().any(|value| value.eq_ignore_ascii_case(word))
}

/// Returns `true` unless the text after a line's first word shows that the word is an operand, one of several levels, or HTTP's
/// method `TRACE`.
fn begins_message(text: &str) -> bool {
    let next = beginning(text).trim_start();
    let word = next.split([' ', '\t']).next().unwrap_or_default();
    steps::count(word.len());
    let is_operator = begins(next, &["=", ":=", "!", "->", "/", "http", "|"]);
    let is_level = || Severity::of_text(word, Evidence::AtStart).is_some();
    !(text.starts_with('|') || is_operator || is_level())
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
