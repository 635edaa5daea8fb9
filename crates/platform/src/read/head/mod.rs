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
mod fields;
mod group;
mod prose;
mod scan;
mod sets;
mod word;

use crate::read::crash::begins_with_exception;
use crate::read::ids::{TraceIds, is_uuid};
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;
use crate::read::time::LineTime;
use scan::{MAX_BYTES, MIN_FIELDS_OF_LOGGED, Scan};

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

/// The beginning of a text, which is all that a decision about a field may read.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::scan::MAX_FIELDS;
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
