//! Reads OTLP lines, from any writer: keys in any order and spacing, labels that lie, text around.

use crate::payload::{self, PayloadError};
use crate::request::{Limits, Request};
use crate::{MARKER, SignalKind};
use memchr::memmem;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fmt;

/// What the text of one log event holds.
#[derive(Debug, Default)]
pub struct LineReading {
    /// Requests, in the order of their lines.
    pub decoded: Vec<DecodedLine>,
    /// Lines that claim to be OTLP and did not decode.
    pub undecodable: Vec<UndecodableLine>,
    /// Other text around the lines, which is a log line of its own.
    pub text: Option<String>,
}

/// A decoded line.
#[derive(Debug)]
pub struct DecodedLine {
    /// The request, as protobuf.
    pub request: Request,
    /// What the writer says its service is called, where it says so.
    pub source: Option<String>,
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

/// Why a line that claims to be OTLP is none.
#[derive(Debug)]
#[non_exhaustive]
pub enum LineError {
    /// Not a JSON object, or not to its end.
    Json(serde_json::Error),
    /// No `payload`, or one that is neither text nor object.
    NoPayload,
    /// A payload that does not decode.
    Payload(PayloadError),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // serde_json names the position and the kind of mistake, never the content.
            Self::Json(error) => write!(f, "line is not JSON: {error}"),
            Self::NoPayload => f.write_str("line has no payload"),
            Self::Payload(error) => {
                write!(f, "{error}")?;
                match std::error::Error::source(error) {
                    Some(source) => write!(f, ": {source}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for LineError {}

/// Reads the OTLP lines in the text of one log event; `None` if it claims to hold none, which
/// costs one search for the marker.
///
/// A text claims to be OTLP if an object in it has the key [`MARKER`]: an object that begins the
/// text, or one whose first key is the marker anywhere in it.
pub fn read_line(text: &str, limits: &Limits) -> Option<LineReading> {
    let mut reading = LineReading::default();
    let mut text_around = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(start) = claim(rest) {
        let (before, object) = rest.split_at_checked(start)?;
        let mut objects = serde_json::Deserializer::from_str(object).into_iter::<RawLine<'_>>();
        let parsed = objects.next();
        let end = objects.byte_offset();
        let (line, after) = match parsed {
            Some(Ok(RawLine { has_marker: false, .. })) => break,
            Some(Ok(_)) => object.split_at_checked(end)?,
            // Where a broken object ends nobody knows: all of the rest belongs to it.
            _ => (object, ""),
        };
        found = true;
        text_around.push_str(before);
        match parsed {
            Some(Ok(raw)) => match raw.decode(limits) {
                Ok(decoded) => reading.decoded.push(decoded),
                Err(reason) => reading.undecodable.push(UndecodableLine::new(line, reason)),
            },
            Some(Err(error)) => {
                reading.undecodable.push(UndecodableLine::new(line, LineError::Json(error)));
            }
            None => {}
        }
        rest = after;
    }
    text_around.push_str(rest);
    let text_around = text_around.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
    if !text_around.is_empty() {
        reading.text = Some(text_around.to_owned());
    }
    found.then_some(reading)
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where the next object that claims to be an OTLP line begins.
fn claim(text: &str) -> Option<usize> {
    let quoted = quoted_marker();
    let marker = memmem::find(text.as_bytes(), quoted)?;
    let before = text.get(..marker)?;
    let trimmed = before.trim_end();
    if trimmed.ends_with('{') {
        return Some(trimmed.len() - 1);
    }
    // The marker is not the first key: then the object has to begin the text.
    let start = text.len()
        - text.trim_start_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK).len();
    text.get(start..)?.starts_with('{').then_some(start)
}

/// The marker as a JSON key.
const fn quoted_marker() -> &'static [u8] {
    b"\"__otel_otlp_stdout\""
}

/// The keys of a line that matter, undecoded: values of any JSON type pass.
#[derive(Default)]
struct RawLine<'a> {
    has_marker: bool,
    source: Option<&'a RawValue>,
    endpoint: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

impl<'de> serde::Deserialize<'de> for RawLine<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RawLine<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawLine<'de>, A::Error> {
                let mut line = RawLine::default();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match key.as_ref() {
                        MARKER => {
                            line.has_marker = true;
                            map.next_value::<IgnoredAny>()?;
                        }
                        "source" => line.source = Some(map.next_value()?),
                        "endpoint" => line.endpoint = Some(map.next_value()?),
                        // Which of two payloads is meant nobody can know.
                        "payload" if line.payload.is_some() => {
                            return Err(serde::de::Error::duplicate_field("payload"));
                        }
                        "payload" => line.payload = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(line)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl RawLine<'_> {
    fn decode(&self, limits: &Limits) -> Result<DecodedLine, LineError> {
        let payload = self.payload.ok_or(LineError::NoPayload)?;
        if payload.get().starts_with('{') {
            return Err(LineError::Payload(PayloadError::Json));
        }
        let payload = json_string(payload).ok_or(LineError::NoPayload)?;
        let named = self
            .endpoint
            .and_then(json_string)
            .and_then(|endpoint| SignalKind::from_endpoint(&endpoint));
        let request = payload::decode(&payload, named, limits).map_err(LineError::Payload)?;
        let source = self.source.and_then(json_string).map(Cow::into_owned);
        Ok(DecodedLine { request, source })
    }
}

fn json_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

impl UndecodableLine {
    fn new(line: &str, reason: LineError) -> Self {
        let line = line.trim_end();
        Self {
            reason,
            bytes: line.len(),
            sha256: crate::ids::to_hex(&Sha256::digest(line.as_bytes())),
            line: without_headers(line),
        }
    }
}

/// The line without the value of any `headers` key: dev7a's exporters copy credentials there.
/// Works on text that is no JSON, too; what follows an unfinished value is cut off with it.
pub fn without_headers(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\"headers\"") {
        kept.push_str(before);
        kept.push_str("\"headers\"");
        let value = after.trim_start();
        let Some(value) = value.strip_prefix(':') else {
            rest = after;
            continue;
        };
        kept.push_str(":null");
        rest = skip_json_value(value.trim_start());
    }
    kept.push_str(rest);
    kept
}

/// What follows the JSON value that begins `text`; nothing if the value does not end.
fn skip_json_value(text: &str) -> &str {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        let mut value_ends_behind = false;
        if in_string {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    in_string = false;
                    value_ends_behind = depth == 0;
                }
                _ => {}
            }
        } else {
            match character {
                '"' => in_string = true,
                '{' | '[' => depth += 1,
                '}' | ']' | ',' if depth == 0 => return text.get(at..).unwrap_or_default(),
                '}' | ']' => {
                    depth -= 1;
                    value_ends_behind = depth == 0;
                }
                _ => {}
            }
        }
        if value_ends_behind {
            return text.get(at + character.len_utf8()..).unwrap_or_default();
        }
    }
    ""
}
