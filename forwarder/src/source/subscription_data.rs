//! Reads the data of a subscription: batches of log events, of bounded size.
//!
//! The data is the gzip of one or more JSON objects (CloudWatch Logs User Guide, "Subscription filters with AWS Lambda").

use super::{Batches, LogBatch, LogEvent, Origin, SourceError, SourceLimits, failed};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io::{Cursor, Read};
use wire::gzip::InflateError;

/// Returns `true` if uncompressed text is a delivery. Firehose and others can inflate deliveries.
pub(super) fn is_delivery(text: &str) -> bool {
    let head = text.get(..text.floor_char_boundary(4096)).unwrap_or_default();
    let has = |key| head.contains(key);
    text.trim_start().starts_with('{') && has("\"messageType\"") && has("\"logGroup\"")
}

/// Deliveries up to this inflated size are inflated at once, which is faster than in pieces.
const MOST_BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Larger ones are inflated and parsed in pieces of this size.
const WINDOW_BYTES: usize = 1024 * 1024;

/// Reads a compressed delivery; see [`read_json`].
pub(super) fn read_gzip<'d>(
    what: &'static str,
    gzip: impl Into<Cow<'d, [u8]>>,
    defaults: Origin,
    limits: &SourceLimits,
) -> Batches<'d> {
    let gzip = gzip.into();
    // Rejected before its first part is delivered, because each of Lambda's attempts would deliver that again.
    if let Some(bytes) = stated_bytes(&gzip).filter(|bytes| *bytes > limits.inflated_bytes)
        && inflates_to_more(&gzip, limits.inflated_bytes)
    {
        return failed(SourceError::too_large(what, bytes, limits.inflated_bytes));
    }
    let at_once = limits.inflated_bytes.min(MOST_BYTES_AT_ONCE);
    if let Some(json) = wire::gzip::inflate_plain(&gzip, at_once) {
        return read_json(what, json, defaults, limits);
    }
    let more = wire::gzip::reader(Cursor::new(gzip), limits.inflated_bytes);
    let json = Window { bytes: Vec::new(), at: 0, more: Some(Box::new(more)), problem: None };
    Box::new(Delivery::new(what, json, defaults, limits))
}

/// Reads an inflated delivery: its log events in batches of about [`SourceLimits::chunk_bytes`], in order. A delivery without log
/// events gives one empty batch. `defaults` fills missing parts of the origin. Log events before an error are part of a batch.
pub(crate) fn read_json(
    what: &'static str,
    json: Vec<u8>,
    defaults: Origin,
    limits: &SourceLimits,
) -> Batches<'static> {
    let json = Window { bytes: json, at: 0, more: None, problem: None };
    Box::new(Delivery::new(what, json, defaults, limits))
}

/// Returns `true` if the data inflates to more than this. The last bytes of truncated data are arbitrary.
fn inflates_to_more(gzip: &[u8], max_bytes: usize) -> bool {
    let read = std::io::copy(&mut wire::gzip::reader(gzip, max_bytes), &mut std::io::sink());
    let error = read.err().and_then(std::io::Error::into_inner);
    error.is_some_and(|error| {
        let error = error.downcast_ref::<InflateError>();
        matches!(error, Some(InflateError::TooLarge { .. }))
    })
}

/// The inflated size stated in the data, modulo 2^32 (ISIZE; RFC 1952, 2.3.1).
fn stated_bytes(gzip: &[u8]) -> Option<usize> {
    let (_, last) = gzip.split_last_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*last)).ok()
}

/// The text of the error without the quoted value, which may be telemetry.
pub(crate) fn without_content(error: &serde_json::Error) -> String {
    let error = error.to_string();
    match (error.find('"'), error.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let before = error.get(..first).unwrap_or_default();
            let after = error.get(last + 1..).unwrap_or_default();
            format!("{before}…{after}")
        }
        _ => error,
    }
}

/// JSON text, whose rest may be inflated while it is parsed. An error describes the problem.
struct Window<'d> {
    bytes: Vec<u8>,
    /// The beginning of what is not parsed yet.
    at: usize,
    more: Option<Box<dyn Read + Send + 'd>>,
    /// The reason why inflating ended early.
    problem: Option<String>,
}

impl Window<'_> {
    fn fill(&mut self) -> Result<(), String> {
        self.bytes.drain(..self.at);
        self.at = 0;
        if let Some(more) = &mut self.more {
            let before = self.bytes.len();
            // A value that is longer than the window doubles it.
            let wanted = WINDOW_BYTES.max(before) as u64;
            // Bytes before an error are log events, too.
            let read = more.by_ref().take(wanted).read_to_end(&mut self.bytes);
            if read.is_err() || self.bytes.len() == before {
                self.more = None;
                self.problem = read.err().map(|error| error.to_string());
            }
        }
        match self.problem.take_if(|_| self.bytes.is_empty()) {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// The next byte that is no white space and no comma; `None` at the end. AWS writes valid JSON, so commas only separate.
    fn peek(&mut self) -> Result<Option<u8>, String> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
            self.at += rest.iter().take_while(is_blank).count();
            let next = self.bytes.get(self.at).copied();
            if next.is_some() || (self.more.is_none() && self.problem.is_none()) {
                return Ok(next);
            }
            self.fill()?;
        }
    }

    /// Skips this byte if it is the next one.
    fn skip(&mut self, byte: u8) -> Result<bool, String> {
        let is_next = self.peek()? == Some(byte);
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// Parses a value that is in the window as a whole: one parser for all log events is faster than one for each. `None` if it
    /// may be cut, is invalid, or could have more bytes than these; then [`Self::value`] reads its parts.
    fn at_once<T: DeserializeOwned>(&mut self, most_bytes: usize) -> Option<T> {
        let rest = self.bytes.get(self.at..)?;
        if self.more.is_some() || rest.len() > most_bytes {
            return None;
        }
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    fn value<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        // serde_json calls some cut numbers invalid, so another error counts only in a fuller window.
        let mut is_fuller = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
            let value = values.next();
            let end = values.byte_offset();
            // At the end of the window, a value may be cut.
            let is_end = self.more.is_none();
            match value {
                Some(Ok(value)) if is_end || end < rest.len() => {
                    self.at += end;
                    return Ok(value);
                }
                Some(Err(error)) if is_end || (is_fuller && !error.is_eof()) => {
                    let error = without_content(&error);
                    // Its place would be one in the window.
                    let error = error.split(" at line ").next().unwrap_or_default().to_owned();
                    return Err(self.problem.take().unwrap_or(error));
                }
                None if is_end => {
                    return Err(self.problem.take().unwrap_or_else(|| ENDS_EARLY.to_owned()));
                }
                _ => {
                    self.fill()?;
                    is_fuller = true;
                }
            }
        }
    }
}

const ENDS_EARLY: &str = "EOF while parsing an object";

/// The place of the reader in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BetweenObjects,
    InObject,
    InLogEvents,
    End,
}

/// A delivery that is read batch by batch.
struct Delivery<'d> {
    what: &'static str,
    json: Window<'d>,
    limits: SourceLimits,
    defaults: Origin,
    place: Place,
    objects: usize,
    object: Object,
    ready: VecDeque<Result<LogBatch, SourceError>>,
}

/// What is known of the present object.
#[derive(Default)]
struct Object {
    is_control: bool,
    origin: Origin,
    has_group: bool,
    has_events: bool,
    runs: Vec<OriginRun>,
    bytes: usize,
    batches: usize,
}

/// Consecutive log events of one account, region and log group.
#[derive(Default)]
struct OriginRun {
    extracted: Value,
    events: Vec<LogEvent>,
}

impl Iterator for Delivery<'_> {
    type Item = Result<LogBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.place != Place::End {
            if let Err(problem) = self.step() {
                self.place = Place::End;
                self.finish_batch();
                let problem =
                    format!("{} is not a delivery of CloudWatch Logs: {problem}", self.what);
                self.ready.push_back(Err(SourceError(problem)));
            }
        }
        self.ready.pop_front()
    }
}

impl<'d> Delivery<'d> {
    fn new(what: &'static str, json: Window<'d>, defaults: Origin, limits: &SourceLimits) -> Self {
        Self {
            what,
            json,
            limits: *limits,
            defaults,
            place: Place::BetweenObjects,
            objects: 0,
            object: Object::default(),
            ready: VecDeque::new(),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.place {
            Place::BetweenObjects if self.json.skip(b'{')? => {
                self.objects += 1;
                self.object = Object { origin: self.defaults.clone(), ..Object::default() };
                self.place = Place::InObject;
            }
            // A checksum error appears only at the end of the data.
            Place::BetweenObjects if self.objects > 0 && self.json.peek()?.is_none() => {
                self.place = Place::End;
            }
            Place::BetweenObjects => {
                return Err(
                    "expected the JSON object that CloudWatch Logs sends to a subscription"
                        .to_owned(),
                );
            }
            Place::InObject if self.json.skip(b'}')? => {
                self.place = Place::BetweenObjects;
                return self.end_object();
            }
            Place::InObject => self.field()?,
            Place::InLogEvents if self.json.skip(b']')? => self.place = Place::InObject,
            Place::InLogEvents => {
                let event = self.json.value()?;
                self.add(event);
            }
            Place::End => {}
        }
        Ok(())
    }

    fn field(&mut self) -> Result<(), String> {
        let (json, object) = (&mut self.json, &mut self.object);
        let key: String = json.value()?;
        if !json.skip(b':')? {
            return Err("expected `:`".to_owned());
        }
        match key.as_str() {
            "messageType" => object.is_control = json.value::<String>()? == "CONTROL_MESSAGE",
            "owner" => object.origin.account = json.value()?,
            "logGroup" => {
                object.origin.log_group = json.value()?;
                object.has_group = true;
            }
            "logStream" => object.origin.log_stream = json.value()?,
            "logEvents" => {
                let events = json.at_once::<Vec<RawEvent>>(self.limits.chunk_bytes);
                if events.is_none() && !json.skip(b'[')? {
                    return Err("`logEvents` is no array of log events".to_owned());
                }
                object.has_events = true;
                match events {
                    Some(events) => events.into_iter().for_each(|event| self.add(event)),
                    None => self.place = Place::InLogEvents,
                }
            }
            _ => {
                json.value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn add(&mut self, event: RawEvent) {
        let RawEvent { id, timestamp, message: LossyText(message), extracted } = event;
        let id = match id {
            Value::String(text) => text,
            // From AWS emulators.
            Value::Number(number) if number.is_u64() => number.to_string(),
            _ => String::new(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds")]
        let of_float = || timestamp.as_f64().map(|millis| millis as i64);
        let timestamp_ms = timestamp.as_i64().or_else(of_float).unwrap_or_default();
        let event = LogEvent { id, timestamp_ms, message };
        let object = &mut self.object;
        object.bytes += event.message.len() + event.id.len();
        match object.runs.last_mut() {
            Some(run) if fields_of_origin(&run.extracted) == fields_of_origin(&extracted) => {
                run.events.push(event);
            }
            _ => object.runs.push(OriginRun { extracted, events: vec![event] }),
        }
        // Batches need their origin. Until it is known, `inflated_bytes` limits the memory.
        let Origin { log_stream, account, .. } = &object.origin;
        let origin_known = object.has_group && !log_stream.is_empty() && !account.is_empty();
        if object.bytes >= self.limits.chunk_bytes && origin_known {
            self.finish_batch();
        }
    }

    fn end_object(&mut self) -> Result<(), String> {
        let Object { has_group, has_events, .. } = self.object;
        if !has_group || !has_events {
            let missing = if has_group { "logEvents" } else { "logGroup" };
            return Err(format!("missing field `{missing}`"));
        }
        if self.object.batches == 0 && self.object.runs.is_empty() {
            self.object.runs.push(OriginRun::default());
        }
        self.finish_batch();
        Ok(())
    }

    fn finish_batch(&mut self) {
        let object = &mut self.object;
        object.bytes = 0;
        for OriginRun { extracted, events } in std::mem::take(&mut object.runs) {
            let origin = origin_of(&object.origin, &extracted);
            object.batches += 1;
            let is_control = object.is_control;
            self.ready.push_back(Ok(LogBatch { is_control, origin, events }));
        }
    }
}

/// The origin of a log event in a log group that collects logs of several accounts: the system fields of a subscription filter
/// (CloudWatch Logs API Reference, `PutSubscriptionFilter`, `emitSystemFields`; User Guide, "Cross-account cross-Region log
/// centralization").
fn origin_of(delivery: &Origin, extracted: &Value) -> Origin {
    let [account, region, log_group] = fields_of_origin(extracted);
    let account = account.unwrap_or(&delivery.account);
    let region = region.unwrap_or(&delivery.region);
    // With or without `ACCOUNT:` before its name.
    let log_group = log_group.unwrap_or(&delivery.log_group);
    let name = log_group.strip_prefix(account).and_then(|rest| rest.strip_prefix(':'));
    Origin::new(account, region, name.unwrap_or(log_group), &delivery.log_stream)
}

/// The other fields are the words of a filter pattern, which differ in each log event.
fn fields_of_origin(extracted: &Value) -> [Option<&str>; 3] {
    ["@aws.account", "@aws.region", "@source.log"]
        .map(|name| extracted.get(name).and_then(Value::as_str))
}

/// A log event. Unexpected values of its other fields must not prevent that its message and its neighbours are read.
#[derive(Deserialize)]
struct RawEvent {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    timestamp: Value,
    message: LossyText,
    #[serde(default, rename = "extractedFields")]
    extracted: Value,
}

/// Text with U+FFFD in place of an unpaired surrogate, which is valid in JSON and not in UTF-8. One such message must not fail
/// the delivery.
pub(crate) struct LossyText(pub(crate) String);

impl<'de> Deserialize<'de> for LossyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = LossyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<LossyText, E> {
                // The lossy conversion takes twenty times as long and is rarely needed.
                let text = std::str::from_utf8(bytes)
                    .map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned);
                Ok(LossyText(text))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a delivery of two members, which are inflated in pieces.
    fn read(text: &str) -> Vec<LogEvent> {
        let (first, second) = text.as_bytes().split_at(12_345);
        let gzip = [first, second].map(|part| wire::gzip::compress(1, part)).concat();
        let batches = read_gzip("it", gzip, Origin::default(), &SourceLimits::default());
        batches.flat_map(|batch| batch.unwrap().events).collect()
    }

    #[test]
    fn an_unknown_number_is_read_across_the_end_of_the_window() {
        let (head, number) = (r#"{"owner":"1","logGroup":"g","logStream":"s","x":""#, "-1.5e+3");
        for cut in 0..=number.len() {
            let padding = "x".repeat(WINDOW_BYTES - cut - head.len() - r#"","y":"#.len());
            let events = r#""logEvents":[{"id":"1","message":"paid"}]}"#;
            let text = format!(r#"{head}{padding}","y":{number},{events}"#);
            assert_eq!(read(&text).len(), 1, "{cut}");
        }
    }

    #[test]
    fn log_events_are_read_across_the_ends_of_the_window() {
        let length = |n: usize| if n == 7 { 3 * WINDOW_BYTES } else { n * 1_999 };
        let events =
            (0..100).map(|n| format!(r#"{{"id":"{n}","message":"{}"}}"#, "é".repeat(length(n))));
        let events = events.collect::<Vec<_>>().join(" ,\n");
        let text =
            format!(r#"{{"owner":"1","logGroup":"g","logStream":"s","logEvents":[{events}]}}"#);
        let found: Vec<_> =
            read(&text).iter().map(|it| (it.id.parse().unwrap(), it.message.len())).collect();
        let expected: Vec<_> = (0..100).map(|n| (n, 2 * length(n))).collect();
        assert_eq!(found, expected);
    }
}
