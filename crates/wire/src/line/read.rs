//! Reads the OTLP lines in the text of a log event, from any writer: with keys in any order and spacing, with wrong labels, with
//! text around the line, or wrapped in log records.

use super::find::{self, WRAPPERS, is_blank};
use super::headers::without_headers_of_lines;
use super::object::{Class, Object, ParsedObject};
use super::reading::{LineError, LineReading, UndecodableLine};
use super::walk::{BrokenObject, Rest, Walk};
use crate::compact::Context;
use crate::json;
use crate::request::{Limits, Request};
use crate::schema::key_of_signal;
use std::cmp::Reverse;
use std::ops::Range;

/// Reads the OTLP lines in the text of one log event. Returns `None` if it claims to contain none, at the cost of one search. A
/// text that mentions lines without claiming one, as log messages about lines do, has a reading without lines if `headers` were
/// removed from it.
///
/// A text claims to contain a line if it has
/// - an object with the key [`MARKER`](crate::MARKER) (or `_otel` and a `payload`), or of OTLP/JSON, at the start of the text,
///   after a runtime's prefix, or directly after another object;
/// - an object whose first key is the marker, at the end of the text, after text printed without a newline;
/// - one of these in a log record, as text or object, as the whole of its `message`, `msg`, `log`, `record` or `fields`. A record
///   with more content than Lambda or a runtime puts around a message is kept, without the line.
///
/// Compact lines that need the names of their function do not decode; [`read_line_of`] reads them.
pub fn read_line(text: &str, limits: &Limits) -> Option<LineReading> {
    read_line_of(text, &Context::default(), limits)
}

/// Like [`read_line`], for a text from the log of this function.
pub fn read_line_of(text: &str, context: &Context<'_>, limits: &Limits) -> Option<LineReading> {
    if !find::has_object(text) {
        return None;
    }
    let mut reader = LineReader::new(context, limits);
    // A newline after a line that was cut inside a string would look like a syntax error.
    let Some(around) = reader.read(text.trim_end(), 0) else {
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

/// The maximum number of undecodable lines of one text to refuse individually; the rest share one record. A record takes hundreds
/// of bytes, and a text may have an undecodable line in every 40 bytes.
const MAX_REFUSED: usize = 100;

/// Maximum number of log records wrapped around a line: Telemetry API record, tracing-subscriber's record and its `fields`.
const MAX_WRAPPERS: usize = 3;

/// Collects the content of an event's texts.
///
/// Every byte is parsed a bounded number of times, however hostile: after the first broken object of a text only certain lines
/// are parsed, and a broken object that claims to be a line consumes the rest of the text.
struct LineReader<'c> {
    context: &'c Context<'c>,
    /// Remaining limits: the lines of one event share [`Limits::inflated_bytes`].
    limits: Limits,
    reading: LineReading,
    mentions_otlp: bool,
    /// Bytes read by searches and parsers, which a test bounds; a failing parser counts as one that read the whole text.
    bytes_read: usize,
}

impl<'c> LineReader<'c> {
    fn new(context: &'c Context<'c>, limits: &Limits) -> Self {
        Self {
            context,
            limits: *limits,
            reading: LineReading::default(),
            mentions_otlp: false,
            bytes_read: 0,
        }
    }

    /// Reads a text within this number of log records: the event itself is in none. Returns the text around its lines, or `None`
    /// without lines.
    fn read(&mut self, text: &str, wrappers: usize) -> Option<String> {
        self.bytes_read += text.len();
        if !find::mentions_otlp(text) {
            return None;
        }
        self.mentions_otlp = true;
        let mut walk = Walk::new(text, wrappers);
        while self.step(&mut walk) {}
        self.bytes_read += walk.bytes_searched;
        walk.finish()
    }

    /// Reads the next object. Returns `false` after the last.
    fn step(&mut self, walk: &mut Walk<'_>) -> bool {
        if let Some(begin) = walk.next_object() {
            match self.parse(walk.from(begin)) {
                Ok(ParsedObject { object, len }) => {
                    let place = begin..begin + len;
                    if !self.read_line_at(walk, &object, &place) {
                        walk.pass_text(place.end);
                    }
                    return true;
                }
                Err(error) => walk.broken = Some(BrokenObject { begin, error }),
            }
        }
        if let Some(begin) = walk.next_marked {
            return self.step_to_marked(walk, begin);
        }
        let BrokenObject { begin, error } = match walk.broken.take() {
            Some(broken) if broken.begin >= walk.at => broken,
            _ => return false,
        };
        self.bytes_read += walk.from(begin).len();
        if find::broken_object_claims(walk.from(begin)) {
            self.refuse_rest(walk, begin, error);
        }
        false
    }

    fn step_to_marked(&mut self, walk: &mut Walk<'_>, begin: usize) -> bool {
        match self.parse(walk.from(begin)) {
            Ok(ParsedObject { object, len }) => {
                let place = begin..begin + len;
                if !self.read_line_at(walk, &object, &place) {
                    walk.leave_marked(place.end);
                }
                true
            }
            Err(error) => {
                let begin = walk.unfinished().filter(|_| error.is_eof()).unwrap_or(begin);
                self.refuse_rest(walk, begin, error)
            }
        }
    }

    /// Reads an object that is a line or contains one. Returns `false` if it is none, or lines are not read there.
    fn read_line_at(
        &mut self,
        walk: &mut Walk<'_>,
        object: &Object<'_>,
        place: &Range<usize>,
    ) -> bool {
        if !self.allows_line(walk, place) {
            return false;
        }
        let inside = self.read_object(object, walk.within(place), walk.wrappers);
        inside.is_some_and(|inside| {
            walk.pass_line(place, &inside);
            true
        })
    }

    /// Refuses a broken object that was meant as a line, with all text after it, because its end is unknown. Returns `false` if
    /// lines are not read there; then nothing else of the text is read.
    fn refuse_rest(&mut self, walk: &mut Walk<'_>, begin: usize, error: serde_json::Error) -> bool {
        if !walk.begins_text(begin) {
            return false;
        }
        if walk.wrappers == 0 && error.is_eof() {
            self.reading.unfinished_at = Some(begin);
        }
        self.refuse(UndecodableLine::new(walk.from(begin), LineError::Json(error)));
        walk.pass_line(&(begin..walk.text.len()), "");
        true
    }

    /// Returns `true` if a line at this place is read: one that begins or ends the event's text, or that is a wrapped text as a
    /// whole. An attacker who gets text into a log may put a line into the middle of it.
    fn allows_line(&mut self, walk: &mut Walk<'_>, place: &Range<usize>) -> bool {
        let begins_text = walk.begins_text(place.start);
        if walk.wrappers == 0 {
            begins_text || self.look_for_end(walk, place.end)
        } else {
            begins_text && self.look_for_end(walk, place.end)
        }
    }

    /// Reads the text after a line. Returns `true` if only lines follow. The walk keeps the result, so that each byte is read once.
    fn look_for_end(&mut self, walk: &mut Walk<'_>, end: usize) -> bool {
        match walk.rest_after(end) {
            Rest::OnlyLines => return true,
            Rest::HasOtherText => return false,
            Rest::Unknown => {}
        }
        let mut at = walk.skip_blank(end);
        while at < walk.text.len() {
            let rest = walk.from(at);
            if !rest.starts_with('{') {
                walk.note_other_text_at(at);
                return false;
            }
            let Ok(ParsedObject { object, len }) = self.parse(rest) else {
                // After an object with invalid JSON, nothing can be distinguished.
                walk.note_unreadable_rest();
                return false;
            };
            if matches!(object.class(), Class::Record { .. }) {
                walk.note_other_text_at(at);
                return false;
            }
            at = walk.skip_blank(at + len);
        }
        walk.note_only_lines_from(end);
        true
    }

    fn parse<'t>(&mut self, text: &'t str) -> Result<ParsedObject<'t>, serde_json::Error> {
        let parsed = Object::parse(text);
        self.bytes_read += parsed.as_ref().map_or(text.len(), |parsed| parsed.len);
        parsed
    }

    /// Reads an object that is a line or contains one, and returns the other text in it. Returns `None` if it is neither. `text` is
    /// the JSON of the object.
    fn read_object(&mut self, object: &Object<'_>, text: &str, wrappers: usize) -> Option<String> {
        match object.class() {
            Class::Line => {
                let mut inflated = 0;
                let limits = self.limits_of(text);
                let requests = object.requests(self.context, &limits, &mut inflated);
                self.add(requests, text, inflated);
            }
            Class::Bare => self.read_json(text, text),
            Class::OneResource(kind) => {
                let request = format!(r#"{{"{}":[{text}]}}"#, key_of_signal(kind));
                self.read_json(&request, text);
            }
            Class::Record { values, has_other_keys } => {
                return self.read_record(values, has_other_keys, text, wrappers);
            }
        }
        Some(String::new())
    }

    fn read_json(&mut self, json: &str, line: &str) {
        self.bytes_read += line.len();
        let requests = json::read(json, None, &self.limits).map_err(LineError::NotOtlp);
        self.add(requests, line, 0);
    }

    /// Reads the lines in the values of a log record, and returns the record without them. `None` if there are none. A record with
    /// more content than Lambda or a runtime puts around a line is kept, with a note in place of the line.
    fn read_record(
        &mut self,
        values: [Option<&str>; WRAPPERS.len()],
        has_other_keys: bool,
        record: &str,
        wrappers: usize,
    ) -> Option<String> {
        if wrappers == MAX_WRAPPERS {
            return None;
        }
        let mut is_kept = has_other_keys;
        let mut replacements: Vec<Replacement> = Vec::new();
        for value in values.into_iter().flatten() {
            let Some(text) = self.read_value(value, wrappers + 1) else {
                is_kept |= !matches!(value, "null" | "\"\"");
                continue;
            };
            let other_text = text.trim_matches(is_blank);
            is_kept |= !other_text.is_empty();
            // A value is a part of the record's text.
            let begin = (value.as_ptr() as usize).checked_sub(record.as_ptr() as usize)?;
            replacements.push(Replacement {
                place: begin..begin + value.len(),
                text: in_place_of(value, other_text),
            });
        }
        if replacements.is_empty() {
            return None;
        }
        if !is_kept {
            return Some(String::new());
        }
        // From the last one on, so that the places of the others stay.
        replacements.sort_unstable_by_key(|replacement| Reverse(replacement.place.start));
        let mut kept = record.to_owned();
        for Replacement { place, text } in replacements {
            kept.replace_range(place, &text);
        }
        Some(kept)
    }

    fn read_value(&mut self, value: &str, wrappers: usize) -> Option<String> {
        if value.starts_with('{') {
            return self.read(value, wrappers);
        }
        self.bytes_read += value.len();
        if !find::mentions_otlp(value) {
            return None;
        }
        self.bytes_read += value.len();
        self.read(&json::text(value)?, wrappers)
    }

    /// All requests of a line, unless their number of items exceeds an honest writer's.
    fn check_items(&self, requests: Vec<Request>) -> Result<Vec<Request>, LineError> {
        const MANY: usize = 100;
        let found: usize = requests.iter().map(Request::items).sum();
        let bytes = requests.iter().map(|request| request.bytes().len()).sum();
        let left = self.limits.items;
        let least = self.limits.least_item_bytes;
        if found > left {
            return Err(LineError::TooManyItems { found, left });
        }
        if found > MANY && found.saturating_mul(least) > bytes {
            return Err(LineError::SmallItems { found, bytes, least });
        }
        Ok(requests)
    }

    /// The limits of a line of this text.
    fn limits_of(&self, line: &str) -> Limits {
        const MAX_TIMES: usize = 64;
        let mut limits = self.limits;
        if limits.refused_bytes == 0 {
            limits.inflated_bytes = limits.inflated_bytes.min(MAX_TIMES * line.len());
        }
        limits
    }

    fn add(&mut self, requests: Result<Vec<Request>, LineError>, line: &str, inflated: usize) {
        let requests = match requests.and_then(|requests| self.check_items(requests)) {
            Ok(requests) => requests,
            Err(reason) => {
                self.count_refused_bytes(inflated);
                return self.refuse(UndecodableLine::new(line, reason));
            }
        };
        if requests.iter().all(|request| request.items() == 0) {
            self.count_refused_bytes(inflated);
        }
        let mut bytes = 0;
        for request in requests {
            bytes += request.bytes().len() + Request::BYTES_BESIDE;
            self.limits.items = self.limits.items.saturating_sub(request.items());
            self.reading.decoded.push(request.without_foreign_names());
        }
        // Requests don't have what stood in containers without items.
        let bytes = bytes.max(inflated);
        self.limits.inflated_bytes = self.limits.inflated_bytes.saturating_sub(bytes);
    }

    fn count_refused_bytes(&mut self, inflated: usize) {
        self.limits.refused_bytes = self.limits.refused_bytes.saturating_sub(inflated);
        self.reading.refused_bytes += inflated;
    }

    fn refuse(&mut self, line: UndecodableLine) {
        let refused = &mut self.reading.undecodable;
        match refused.get_mut(MAX_REFUSED) {
            Some(rest) => rest.add(&line),
            None => refused.push(line),
        }
    }
}

/// The rest of a record's value, in place of the value.
struct Replacement {
    place: Range<usize>,
    text: String,
}

/// The JSON in place of a value whose lines were read, and which has this other text.
fn in_place_of(value: &str, text: &str) -> String {
    const NOTE: &str = "(an OTLP line was taken out of this message)";
    if value.starts_with('{') && text.starts_with('{') {
        return text.to_owned();
    }
    let text = if text.is_empty() { NOTE.to_owned() } else { format!("{text} {NOTE}") };
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
