//! Reads OTLP lines, from any writer: keys in any order and spacing, labels that lie, text around,
//! log records wrapped around them.

use super::error::LineError;
use super::find::{self, is_blank};
use super::headers::{without_headers, without_headers_of_lines};
use super::object::{Class, Object};
use super::walk::Walk;
use crate::ids::to_hex;
use crate::json;
use crate::request::{Limits, Request};
use sha2::{Digest as _, Sha256};

/// What the text of one log event holds.
#[derive(Debug, Default)]
pub struct LineReading {
    /// Requests, in the order of their lines.
    pub decoded: Vec<DecodedLine>,
    /// Lines that claim to be OTLP and did not decode.
    pub undecodable: Vec<UndecodableLine>,
    /// Other text around the lines, which is a log line of its own; the values of `headers` are removed.
    pub text: Option<String>,
    /// Where in the text an undecodable line begins whose end is missing: what follows in the
    /// stream may continue it, see [`Rejoin`](crate::Rejoin).
    pub unfinished_at: Option<usize>,
}

/// A decoded request. A line of OTLP/JSON may hold one of each signal.
#[derive(Debug)]
pub struct DecodedLine {
    /// The request, as protobuf.
    pub request: Request,
}

/// A line that claims to be OTLP and did not decode.
#[derive(Debug)]
pub struct UndecodableLine {
    /// Why.
    pub reason: LineError,
    /// Size of the line in bytes.
    pub bytes: usize,
    /// SHA-256 of the line, in lower-case hexadecimal: to find it again without printing it.
    pub sha256: String,
    /// The line itself, the value of `headers` removed.
    pub line: String,
}

/// Reads the OTLP lines in the text of one log event; `None` if it claims to hold none, which
/// costs an ordinary log line one search. A text that mentions lines and claims none, such as one wrapped too
/// often, is a reading of nothing but text if it had `headers` that had to be removed.
///
/// A text claims to hold a line if it has
/// - an object with the key [`MARKER`](crate::MARKER) (or `_otel` beside a `payload`), or of
///   OTLP/JSON, that begins the text or what a runtime's prefix leaves of it, or stands directly
///   behind such an object or any other;
/// - an object whose first key is the marker, anywhere;
/// - one of these in a log record, which is not kept then: as text or as object in its `message`,
///   `msg`, `log`, `record` or `fields`.
pub fn read_line(text: &str, limits: &Limits) -> Option<LineReading> {
    if !find::has_object(text) {
        return None;
    }
    let mut reader = Reader::new(limits);
    // A newline behind a line that was cut inside a string would look like a mistake in it.
    let Some(around) = reader.read(text.trim_end(), Level::Event) else {
        let masked = if reader.mentions_otlp { without_headers_of_lines(text) } else { None };
        return masked.map(|masked| LineReading { text: Some(masked), ..LineReading::default() });
    };
    let around = around.trim_matches(is_blank);
    if !around.is_empty() {
        let masked = without_headers_of_lines(around);
        reader.reading.text = Some(masked.unwrap_or_else(|| around.to_owned()));
    }
    Some(reader.reading)
}

/// How many log records may be wrapped around a line: Telemetry API record, tracing-subscriber's
/// record and its `fields`.
const MOST_WRAPPERS: usize = 3;

/// What is being read: the event itself, or a value of that many log records around it.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Event,
    Wrapped(usize),
}

impl Level {
    fn inside(self) -> Option<Self> {
        match self {
            Self::Event => Some(Self::Wrapped(1)),
            Self::Wrapped(records) => {
                (records < MOST_WRAPPERS).then_some(Self::Wrapped(records + 1))
            }
        }
    }
}

/// Collects what the texts of one event hold.
///
/// Every byte is parsed a bounded number of times, however hostile: the first broken object of a
/// text ends the parsing of objects that only may be lines, and a broken object that claims to be a
/// line takes all of the rest with it.
struct Reader {
    /// What is left of the bounds: the lines of one event share [`Limits::inflated_bytes`].
    limits: Limits,
    reading: LineReading,
    mentions_otlp: bool,
    #[cfg(test)]
    bytes_read: usize,
}

impl Reader {
    fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            reading: LineReading::default(),
            mentions_otlp: false,
            #[cfg(test)]
            bytes_read: 0,
        }
    }

    /// Every byte that a search or a parser reads is counted in tests, failing parsers at their worst.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counts in tests only"))]
    fn count(&mut self, bytes: usize) {
        #[cfg(test)]
        {
            self.bytes_read += bytes;
        }
        #[cfg(not(test))]
        let _ = bytes;
    }

    /// Reads a text; answers what is around its lines, `None` if there are none.
    fn read(&mut self, text: &str, level: Level) -> Option<String> {
        self.count(text.len());
        if !find::mentions_otlp(text) {
            return None;
        }
        self.mentions_otlp = true;
        let mut walk = Walk::new(text);
        while self.step(&mut walk, level) {}
        self.count(walk.bytes_searched);
        walk.finish()
    }

    /// Reads the next object; false if there is none left.
    fn step(&mut self, walk: &mut Walk<'_>, level: Level) -> bool {
        if let Some(begin) = walk.object_here() {
            match self.parse(walk.from(begin)) {
                Ok((object, len)) => {
                    let end = begin + len;
                    if let Some(inside) = self.take(&object, walk.between(begin, end), level) {
                        walk.take(begin, end, &inside);
                        return true;
                    }
                    let holds_marked = walk.marked.is_some_and(|marked| marked < end);
                    if !holds_marked {
                        walk.keep(end);
                        return true;
                    }
                    walk.shell_end = end;
                }
                Err(error) => walk.broken = Some((begin, error)),
            }
        }
        if let Some(begin) = walk.marked {
            let (begin, end, inside) = match self.parse(walk.from(begin)) {
                Ok((object, len)) => {
                    let end = begin + len;
                    (begin, end, self.take(&object, walk.between(begin, end), level))
                }
                Err(error) => {
                    let begin = walk.unfinished().filter(|_| error.is_eof()).unwrap_or(begin);
                    (begin, self.refuse_rest(walk, begin, error, level), None)
                }
            };
            // What is around the line stays JSON.
            let in_place = if end <= walk.shell_end { "null" } else { "" };
            let inside = inside.filter(|text| !text.is_empty());
            walk.take(begin, end, inside.as_deref().unwrap_or(in_place));
            return true;
        }
        let Some((begin, error)) = walk.broken.take().filter(|(begin, _)| *begin >= walk.at) else {
            return false;
        };
        self.count(walk.from(begin).len());
        if find::broken_object_claims(walk.from(begin)) {
            let end = self.refuse_rest(walk, begin, error, level);
            walk.take(begin, end, "");
        }
        false
    }

    fn parse<'t>(&mut self, text: &'t str) -> Result<(Object<'t>, usize), serde_json::Error> {
        let parsed = Object::parse(text);
        self.count(parsed.as_ref().map_or(text.len(), |(_, len)| *len));
        parsed
    }

    /// Takes an object that is a line or holds one; answers the other text in it, and `None` if it is
    /// neither. `line` is the object as it stands.
    fn take(&mut self, object: &Object<'_>, line: &str, level: Level) -> Option<String> {
        match object.class() {
            Class::Line => {
                let requests = object.requests(&self.limits);
                self.add(requests, line);
                Some(String::new())
            }
            Class::Bare => {
                self.count(line.len());
                let requests = json::read(line, None, &self.limits).map_err(LineError::NotOtlp);
                self.add(requests, line);
                Some(String::new())
            }
            Class::Record(values) => {
                let inside = level.inside()?;
                let mut around: Option<String> = None;
                for value in values.into_iter().flatten() {
                    let Some(text) = self.read_value(value, inside) else { continue };
                    let around = around.get_or_insert_default();
                    if !around.is_empty() {
                        around.push('\n');
                    }
                    around.push_str(text.trim_matches(is_blank));
                }
                around
            }
        }
    }

    /// Reads a value of a log record.
    fn read_value(&mut self, value: &str, level: Level) -> Option<String> {
        if value.starts_with('{') {
            return self.read(value, level);
        }
        self.count(value.len());
        if !find::mentions_otlp(value) {
            return None;
        }
        self.count(value.len());
        self.read(&json::text(value)?, level)
    }

    fn add(&mut self, requests: Result<Vec<Request>, LineError>, line: &str) {
        let requests = match requests {
            Ok(requests) => requests,
            Err(reason) => {
                self.reading.undecodable.push(UndecodableLine::new(line, reason));
                return;
            }
        };
        for request in requests {
            let left = self.limits.inflated_bytes.saturating_sub(request.bytes().len());
            self.limits.inflated_bytes = left;
            self.reading.decoded.push(DecodedLine { request });
        }
    }

    /// Where a broken object ends nobody knows: all of the rest belongs to it.
    fn refuse_rest(
        &mut self,
        walk: &Walk<'_>,
        begin: usize,
        error: serde_json::Error,
        level: Level,
    ) -> usize {
        if level == Level::Event && error.is_eof() {
            self.reading.unfinished_at = Some(begin);
        }
        let line = UndecodableLine::new(walk.from(begin), LineError::Json(error));
        self.reading.undecodable.push(line);
        walk.text.len()
    }
}

impl UndecodableLine {
    fn new(line: &str, reason: LineError) -> Self {
        let line = line.trim_end();
        Self {
            reason,
            bytes: line.len(),
            sha256: to_hex(&Sha256::digest(line.as_bytes())),
            line: without_headers(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Bytes that searches and parsers read, for each byte of the text.
    fn readings_of_each_byte(text: &str) -> f64 {
        let mut reader = Reader::new(&Limits::default());
        reader.read(text, Level::Event);
        f64::from(u32::try_from(reader.bytes_read).unwrap())
            / f64::from(u32::try_from(text.len()).unwrap())
    }

    #[test]
    fn hostile_texts_are_read_a_bounded_number_of_times() {
        let units = [
            "{",
            "{{\"",
            r#"{"a":"#,
            r#"{"a":1}"#,
            r#"{"message":{"#,
            r#"{"message":{"_otel":1}}"#,
            r#"{"resourceSpans":[]}"#,
            r#"{"resourceSpans":["#,
            r#"{"__otel_otlp_stdout":"#,
            r#"{"__otel_otlp_stdout":1}"#,
            r#"{"__otel_otlp_stdout":1}{"#,
            r#"{"a":{"__otel_otlp_stdout":1}{"a":"#,
            r#"{"a":[{"__otel_otlp_stdout":1},"#,
            r#"{"_otel"   "#,
            r#""__otel_otlp_stdout""#,
            r"\\\__otel_otlp_stdout",
            "[INFO]\t2026Z\t\t{",
            "                ",
        ];
        // With one of these the text has all that the searches look for.
        let ends = [r#"{"__otel_otlp_stdout":1}"#, r#" {"resourceSpans": "_otel"#, ""];
        for unit in units {
            let hostile = unit.repeat(40_000 / unit.len());
            for end in ends {
                for text in [format!("{hostile}{end}"), format!("{end}{hostile}")] {
                    let times = readings_of_each_byte(&text);
                    assert!(times <= 6.0, "{unit} {end}: {times} times");
                }
            }
            // Each wrapping reads what is in it once more.
            let wrapped = (0..3).fold(hostile, |text, _| json!({"message": text}).to_string());
            let times = readings_of_each_byte(&wrapped);
            assert!(times <= 24.0, "{unit}, wrapped: {times} times");
        }
        // The largest event that Lambda hands on.
        let braces = r#"{"__otel_otlp_stdout" {"#.repeat(6_000_000 / 23);
        assert!(readings_of_each_byte(&braces) <= 6.0);
    }
}
