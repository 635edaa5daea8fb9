//! Reads the data of a subscription: batches of log events, of bounded size.
//!
//! The data is the gzip of one or more JSON objects (CloudWatch Logs User Guide, "Subscription filters with AWS Lambda").

use super::log_event_json::{ExtractedOrigin, LogEventJson, LossyText, MAX_NAME_BYTES};
use super::long_texts::{ShortTexts, cut_message, note_cut};
use super::{Batches, LogBatch, LogEvent, Origin, SourceError, SourceLimits, failed};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Cursor, Read};
use wire::gzip::InflateError;

/// Returns `true` if uncompressed text is a delivery. Firehose and others can inflate deliveries.
pub(super) fn is_delivery(text: &str) -> bool {
    let head = text.get(..text.floor_char_boundary(4096)).unwrap_or_default();
    let has = |key| head.contains(key);
    text.trim_start().starts_with('{') && has("\"messageType\"") && has("\"logGroup\"")
}

/// Deliveries up to this inflated size are inflated at once, which is faster than in pieces.
const MAX_BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

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
    let at_once = limits.inflated_bytes.min(MAX_BYTES_AT_ONCE);
    if let Some(json) = wire::gzip::inflate_plain(&gzip, at_once) {
        return read_json(what, json, defaults, limits);
    }
    let more = wire::gzip::reader(Cursor::new(gzip), limits.inflated_bytes);
    let json = Window::new(Vec::new(), Some(Box::new(more)), limits);
    Box::new(Delivery::new(what, json, defaults, limits))
}

/// Reads an inflated delivery: its log events in batches of about [`SourceLimits::batch_bytes`], in order. A delivery without log
/// events gives one empty batch. `defaults` fills missing parts of the origin. Log events before an error are part of a batch.
pub(crate) fn read_json(
    what: &'static str,
    json: Vec<u8>,
    defaults: Origin,
    limits: &SourceLimits,
) -> Batches<'static> {
    let json = Window::new(json, None, limits);
    Box::new(Delivery::new(what, json, defaults, limits))
}

/// Returns `true` if the data inflates to more than this. The last bytes of truncated data are arbitrary.
fn inflates_to_more(gzip: &[u8], max_bytes: usize) -> bool {
    let read = std::io::copy(&mut wire::gzip::reader(gzip, max_bytes), &mut std::io::sink());
    let error = read.err().and_then(std::io::Error::into_inner);
    error.is_some_and(|error| {
        matches!(error.downcast_ref::<InflateError>(), Some(InflateError::TooLarge { .. }))
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

/// The reason why data is no delivery of CloudWatch Logs, or is one only in part. It quotes no telemetry.
#[derive(Debug, thiserror::Error)]
enum NotDelivery {
    /// Inflating ended early.
    #[error("{0}")]
    Gzip(String),
    #[error("{0}")]
    Json(String),
    #[error("EOF while parsing an object")]
    EndsEarly,
    #[error("a value has more than {max_bytes} bytes")]
    LongValue { max_bytes: usize },
    #[error("a name has {bytes} bytes, more than {MAX_NAME_BYTES}")]
    LongName { bytes: usize },
    #[error("expected the JSON object that CloudWatch Logs sends to a subscription")]
    NoObject,
    #[error("expected `:`")]
    NoColon,
    #[error("`logEvents` is no array of log events")]
    NoLogEvents,
    #[error("it has more than {max_bytes} bytes of log events before the name of their log group")]
    Unplaced { max_bytes: usize },
    #[error("missing field `{0}`")]
    MissingField(&'static str),
}

/// JSON text, whose rest may be inflated while it is parsed.
struct Window<'d> {
    bytes: Vec<u8>,
    /// Number of bytes that are parsed.
    at: usize,
    /// The data that is not inflated yet; `None` at its end.
    more: Option<Box<dyn Read + Send + 'd>>,
    /// The reason why inflating ended early.
    problem: Option<NotDelivery>,
    max_text_bytes: usize,
}

/// A value of the data.
struct Parsed<T> {
    value: T,
    /// `true` if one of its texts was cut.
    was_cut: bool,
}

impl<'d> Window<'d> {
    fn new(bytes: Vec<u8>, more: Option<Box<dyn Read + Send + 'd>>, limits: &SourceLimits) -> Self {
        let max_text_bytes = limits.message_bytes;
        Self { bytes, at: 0, more, problem: None, max_text_bytes }
    }

    /// Limit on one value. Texts of a longer one are cut.
    fn max_value_bytes(&self) -> usize {
        self.max_text_bytes.saturating_mul(2)
    }

    /// Removes the parsed bytes and inflates further ones. An error of inflating is returned after the bytes before it.
    fn fill(&mut self) -> Result<(), NotDelivery> {
        self.bytes.drain(..self.at);
        self.at = 0;
        if let Some(more) = &mut self.more {
            let before = self.bytes.len();
            // A value that is longer than the window doubles it.
            let wanted = WINDOW_BYTES.max(before);
            self.bytes.reserve_exact(wanted);
            // Bytes before an error are log events, too.
            let read = more.by_ref().take(wanted as u64).read_to_end(&mut self.bytes);
            if read.is_err() || self.bytes.len() == before {
                self.more = None;
                self.problem = read.err().map(|error| NotDelivery::Gzip(error.to_string()));
            }
        }
        if self.bytes.is_empty()
            && let Some(problem) = self.problem.take()
        {
            return Err(problem);
        }
        Ok(())
    }

    /// Reads the rest of a value that is larger than the window may become, with cut texts.
    fn fill_with_short_texts(&mut self) -> Result<(), NotDelivery> {
        let max_bytes = self.max_value_bytes();
        let mut texts = ShortTexts::new(self.max_text_bytes);
        let mut piece = self.bytes.split_off(self.at);
        self.bytes = Vec::new();
        self.at = 0;
        loop {
            texts.push(&piece, &mut self.bytes);
            piece.truncate(0);
            piece.shrink_to(WINDOW_BYTES);
            if texts.has_ended() {
                return Ok(());
            }
            if self.bytes.len() > max_bytes {
                return Err(NotDelivery::LongValue { max_bytes });
            }
            let Some(more) = &mut self.more else { return Ok(()) };
            let read = more.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut piece);
            if read.is_err() || piece.is_empty() {
                self.more = None;
                self.problem = read.err().map(|error| NotDelivery::Gzip(error.to_string()));
            }
        }
    }

    /// The next byte that is no white space and no comma; `None` at the end. AWS writes valid JSON, so commas only separate.
    fn peek(&mut self) -> Result<Option<u8>, NotDelivery> {
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
    fn skip_if_next(&mut self, byte: u8) -> Result<bool, NotDelivery> {
        let is_next = self.peek()? == Some(byte);
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// Parses a value that is in the window as a whole: one parser for all log events is faster than one for each. `None` if it
    /// may be cut, is invalid, or could have more bytes than these; then [`Self::value`] reads its parts.
    fn parse_at_once<T: DeserializeOwned>(&mut self, max_bytes: usize) -> Option<T> {
        let rest = self.bytes.get(self.at..)?;
        if self.more.is_some() || rest.len() > max_bytes {
            return None;
        }
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    /// A name of AWS's. A longer one would be repeated for each request.
    fn name(&mut self) -> Result<String, NotDelivery> {
        let name: String = self.value()?;
        if name.len() > MAX_NAME_BYTES {
            return Err(NotDelivery::LongName { bytes: name.len() });
        }
        Ok(name)
    }

    fn value<T: DeserializeOwned>(&mut self) -> Result<T, NotDelivery> {
        Ok(self.parse()?.value)
    }

    fn parse<T: DeserializeOwned>(&mut self) -> Result<Parsed<T>, NotDelivery> {
        // serde_json calls some cut numbers invalid, so an error other than the end counts only after the window was filled.
        let mut was_filled = false;
        let mut was_cut = false;
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
                    return Ok(Parsed { value, was_cut });
                }
                Some(Err(error)) if is_end || (was_filled && !error.is_eof()) => {
                    let text = without_content(&error);
                    // Line and column would be those in the window.
                    let problem = text.split(" at line ").next().unwrap_or_default().to_owned();
                    return Err(self.problem.take().unwrap_or(NotDelivery::Json(problem)));
                }
                None if is_end => {
                    return Err(self.problem.take().unwrap_or(NotDelivery::EndsEarly));
                }
                _ => {
                    if rest.len() >= self.max_value_bytes() && !was_cut {
                        self.fill_with_short_texts()?;
                        was_cut = true;
                    } else {
                        self.fill()?;
                    }
                    was_filled = true;
                }
            }
        }
    }
}

/// Usual memory of the extracted fields of a run.
const USUAL_FIELDS_BYTES: usize = 256;

/// The position of the reader in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    BetweenObjects,
    InObject,
    InLogEvents,
    End,
}

/// A delivery that is read batch by batch.
struct Delivery<'d> {
    /// The name of the data in errors.
    what: &'static str,
    json: Window<'d>,
    limits: SourceLimits,
    /// The origin as far as the data does not state it.
    defaults: Origin,
    position: Position,
    /// Number of objects so far.
    objects: usize,
    object: DeliveryObject,
    ready: VecDeque<Result<LogBatch, SourceError>>,
}

/// What is known of the present object.
#[derive(Default)]
struct DeliveryObject {
    is_control: bool,
    origin: Origin,
    has_group: bool,
    has_events: bool,
    /// The log events of the next batches.
    runs: Vec<OriginRun>,
    /// Size of the runs.
    bytes: usize,
    /// Number of finished batches.
    batches: usize,
}

impl DeliveryObject {
    /// Batches need their origin.
    fn has_origin(&self) -> bool {
        let Origin { log_stream, account, .. } = &self.origin;
        self.has_group && !log_stream.is_empty() && !account.is_empty()
    }
}

/// Consecutive log events of one account, region and log group.
#[derive(Default)]
struct OriginRun {
    extracted: ExtractedOrigin,
    events: Vec<LogEvent>,
    cut: usize,
}

impl Iterator for Delivery<'_> {
    type Item = Result<LogBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.position != Position::End {
            if let Err(problem) = self.step() {
                self.position = Position::End;
                self.finish_batches();
                let what = self.what;
                let text = format!("{what} is not a delivery of CloudWatch Logs: {problem}");
                self.ready.push_back(Err(SourceError(text)));
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
            position: Position::BetweenObjects,
            objects: 0,
            object: DeliveryObject::default(),
            ready: VecDeque::new(),
        }
    }

    /// Reads the beginning or end of an object or list, a field, or a log event.
    fn step(&mut self) -> Result<(), NotDelivery> {
        match self.position {
            Position::BetweenObjects if self.json.skip_if_next(b'{')? => {
                self.objects += 1;
                self.object =
                    DeliveryObject { origin: self.defaults.clone(), ..DeliveryObject::default() };
                self.position = Position::InObject;
            }
            // A checksum error appears only at the end of the data.
            Position::BetweenObjects if self.objects > 0 && self.json.peek()?.is_none() => {
                self.position = Position::End;
            }
            Position::BetweenObjects => return Err(NotDelivery::NoObject),
            Position::InObject if self.json.skip_if_next(b'}')? => {
                self.position = Position::BetweenObjects;
                return self.end_object();
            }
            Position::InObject => self.read_field()?,
            Position::InLogEvents if self.json.skip_if_next(b']')? => {
                self.position = Position::InObject;
            }
            Position::InLogEvents => {
                let Parsed { value: event, was_cut } = self.json.parse()?;
                self.add_event(event, was_cut)?;
            }
            Position::End => {}
        }
        Ok(())
    }

    fn read_field(&mut self) -> Result<(), NotDelivery> {
        let json = &mut self.json;
        let object = &mut self.object;
        let key: String = json.value()?;
        if !json.skip_if_next(b':')? {
            return Err(NotDelivery::NoColon);
        }
        match key.as_str() {
            "messageType" => object.is_control = json.value::<String>()? == "CONTROL_MESSAGE",
            "owner" => object.origin.account = json.name()?,
            "logGroup" => {
                object.origin.log_group = json.name()?;
                object.has_group = true;
            }
            "logStream" => object.origin.log_stream = json.name()?,
            "logEvents" => {
                let events = json.parse_at_once::<Vec<LogEventJson>>(self.limits.batch_bytes);
                if events.is_none() && !json.skip_if_next(b'[')? {
                    return Err(NotDelivery::NoLogEvents);
                }
                object.has_events = true;
                match events {
                    Some(events) => {
                        events.into_iter().try_for_each(|event| self.add_event(event, false))?;
                    }
                    None => self.position = Position::InLogEvents,
                }
            }
            _ => {
                json.value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    /// Adds a log event to the next batch. `was_cut` is `true` if one of its texts was cut.
    fn add_event(&mut self, mut event: LogEventJson, was_cut: bool) -> Result<(), NotDelivery> {
        let timestamp_ms = event.timestamp_ms();
        let id = event.take_id();
        let extracted = event.take_extracted();
        let LossyText(mut message) = event.message;
        let is_long = cut_message(&mut message, &self.limits);
        if was_cut && !is_long {
            note_cut(&mut message);
        }
        let event = LogEvent { id, timestamp_ms, message };
        let object = &mut self.object;
        object.bytes += event.bytes();
        match object.runs.last_mut() {
            Some(run) if run.extracted == extracted => run.events.push(event),
            _ => {
                object.bytes += size_of::<OriginRun>() + USUAL_FIELDS_BYTES;
                object.runs.push(OriginRun { extracted, events: vec![event], cut: 0 });
            }
        }
        if let Some(run) = object.runs.last_mut() {
            run.cut += usize::from(is_long || was_cut);
        }
        if object.bytes >= self.limits.batch_bytes && object.has_origin() {
            self.finish_batches();
        } else if object.bytes >= self.limits.unplaced_bytes {
            // They are in the raw data, which is dead-lettered.
            object.runs.clear();
            return Err(NotDelivery::Unplaced { max_bytes: self.limits.unplaced_bytes });
        }
        Ok(())
    }

    fn end_object(&mut self) -> Result<(), NotDelivery> {
        let DeliveryObject { has_group, has_events, .. } = self.object;
        if !has_group || !has_events {
            let missing = if has_group { "logEvents" } else { "logGroup" };
            return Err(NotDelivery::MissingField(missing));
        }
        if self.object.batches == 0 && self.object.runs.is_empty() {
            self.object.runs.push(OriginRun::default());
        }
        self.finish_batches();
        Ok(())
    }

    /// Makes a batch of each run.
    fn finish_batches(&mut self) {
        let object = &mut self.object;
        object.bytes = 0;
        for OriginRun { extracted, events, cut } in std::mem::take(&mut object.runs) {
            let origin = extracted.within(&object.origin);
            object.batches += 1;
            let is_control = object.is_control;
            self.ready.push_back(Ok(LogBatch { is_control, origin, events, cut }));
        }
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
        let head = r#"{"owner":"1","logGroup":"g","logStream":"s","x":""#;
        let number = "-1.5e+3";
        for cut in 0..=number.len() {
            let padding = "x".repeat(WINDOW_BYTES - cut - head.len() - r#"","y":"#.len());
            let events = r#""logEvents":[{"id":"1","message":"paid"}]}"#;
            let text = format!(r#"{head}{padding}","y":{number},{events}"#);
            assert_eq!(read(&text).len(), 1, "{cut}");
        }
    }

    #[test]
    fn log_events_are_read_across_the_ends_of_the_window() {
        let length = |n: usize| if n == 7 { 3 * WINDOW_BYTES / 2 } else { n * 1_999 };
        let event = |n| format!(r#"{{"id":"{n}","message":"{}"}}"#, "é".repeat(length(n)));
        let events = (0..100).map(event).collect::<Vec<_>>().join(" ,\n");
        let text =
            format!(r#"{{"owner":"1","logGroup":"g","logStream":"s","logEvents":[{events}]}}"#);
        let found: Vec<_> =
            read(&text).iter().map(|it| (it.id.parse().unwrap(), it.message.len())).collect();
        let expected: Vec<_> = (0..100).map(|n| (n, 2 * length(n))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let limits = SourceLimits { message_bytes: 1_000_001, ..SourceLimits::default() };
        for (unit, kept) in
            [("x", 1_000_001), ("é", 1_000_000), ("\\n", 500_001), ("\\u0001", 166_667)]
        {
            let long = unit.repeat(12_000_000 / unit.len());
            let id = "1".repeat(3_000);
            let text = format!(
                r#"{{"x":"{long}","owner":"1","logGroup":"g","logStream":"s","logEvents":[{{"id":"{id}","message":"{long}"}},{{"id":"2","message":"paid"}}]}}"#
            );
            let gzip = wire::gzip::compress(1, text.as_bytes());
            let read = read_gzip("it", gzip, Origin::default(), &limits);
            let batches: Vec<_> = read.map(Result::unwrap).collect();
            assert_eq!(batches.iter().map(|batch| batch.cut).sum::<usize>(), 1, "{unit}");
            let events: Vec<_> = batches.iter().flat_map(|batch| &batch.events).collect();
            let [cut, paid] = events.as_slice() else { panic!("{} log events", events.len()) };
            assert_eq!((cut.id.as_str(), paid.message.as_str()), ("", "paid"));
            let (text, _) = cut.message.split_once(" … (cut").unwrap();
            assert_eq!(text.len(), kept, "{unit}");
        }
    }

    #[test]
    fn log_events_before_their_log_group_have_a_limit() {
        let limits = SourceLimits { unplaced_bytes: 100_000, ..SourceLimits::default() };
        for (count, events) in [(500, Some(500)), (2_000, None)] {
            let event = format!(r#"{{"message":"{}"}}"#, "x".repeat(150));
            let all = vec![event; count].join(",");
            let text = format!(r#"{{"logEvents":[{all}],"logGroup":"g"}}"#);
            let batches = read_json("it", text.into_bytes(), Origin::default(), &limits);
            let [batch] = &batches.collect::<Vec<_>>()[..] else { panic!("{count}") };
            assert_eq!(batch.as_ref().ok().map(|batch| batch.events.len()), events);
        }
    }

    #[test]
    fn a_value_of_very_many_elements_ends_the_delivery() {
        let elements = "0,".repeat(10_000_000);
        let event = |rest: &str| format!(r#"{{"message":"m"{rest}}}"#);
        let events = [event(""), event(&format!(r#","x":[{elements}0]"#)), event("")].join(",");
        let text =
            format!(r#"{{"owner":"1","logGroup":"g","logStream":"s","logEvents":[{events}]}}"#);
        let gzip = wire::gzip::compress(1, text.as_bytes());
        let batches = read_gzip("it", gzip, Origin::default(), &SourceLimits::default());
        let [Ok(batch), Err(error)] = &batches.collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(batch.events.len(), 1);
        let expected =
            "it is not a delivery of CloudWatch Logs: a value has more than 8388608 bytes";
        assert_eq!(error.to_string(), expected);
    }
}
