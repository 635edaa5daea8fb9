//! Reads the data of a subscription into batches of log events, in chunks of bounded size.
//!
//! The data is the gzip of one or more JSON objects (CloudWatch Logs User Guide, "Subscription filters with AWS Lambda").

use super::{HandOn, LogBatch, LogEvent, MessageType, Origin, SourceError, SourceLimits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::{IoRead, Read, SliceRead};
use std::borrow::Cow;
use std::fmt;
use std::io::BufReader;
use wire::gzip::InflateError;

pub(super) fn decode_base64(what: &'static str, text: &str) -> Result<Vec<u8>, SourceError> {
    // The fast decoder gives no reason.
    wire::decode_base64(text.as_bytes())
        .map_or_else(|| STANDARD.decode(text), Ok)
        .map_err(|source| SourceError::Base64 { what, source })
}

/// Returns `true` if uncompressed text is a delivery. Firehose and others can inflate deliveries.
pub(super) fn is_delivery(text: &str) -> bool {
    let head = text.get(..text.floor_char_boundary(4096)).unwrap_or_default();
    let has = |key| head.contains(key);
    text.trim_start().starts_with('{') && has("\"messageType\"") && has("\"logGroup\"")
}

/// Deliveries up to this inflated size are parsed from memory, which is ten times faster than while inflating.
const MOST_BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Reads a compressed delivery; see [`read_json`].
pub(super) fn read_gzip(
    what: &'static str,
    gzip: &[u8],
    defaults: &Origin,
    limits: &SourceLimits,
    hand_on: HandOn<'_>,
) -> Result<(), SourceError> {
    // Rejected before its first part is delivered, because each of Lambda's attempts would deliver that again.
    if let Some(bytes) = stated_bytes(gzip).filter(|bytes| *bytes > limits.inflated_bytes)
        && inflates_to_more(gzip, limits.inflated_bytes)
    {
        return Err(SourceError::TooLarge { what, bytes, most: limits.inflated_bytes });
    }
    let at_once = limits.inflated_bytes.min(MOST_BYTES_AT_ONCE);
    if let Some(json) = wire::gzip::inflate_plain(gzip, at_once) {
        return read_inflated(what, &json, defaults, limits, hand_on);
    }
    let json = BufReader::with_capacity(64 * 1024, wire::gzip::reader(gzip, limits.inflated_bytes));
    read_json(what, IoRead::new(json), defaults, limits, hand_on)
}

/// Reads an inflated delivery; see [`read_json`].
pub(crate) fn read_inflated(
    what: &'static str,
    json: &[u8],
    defaults: &Origin,
    limits: &SourceLimits,
    hand_on: HandOn<'_>,
) -> Result<(), SourceError> {
    read_json(what, SliceRead::new(json), defaults, limits, hand_on)
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

/// Passes the log events to `hand_on` in batches of about [`SourceLimits::chunk_bytes`], in order. A delivery without log events
/// gives one empty batch. Stops if `hand_on` returns `false`. `defaults` fills missing parts of the origin.
pub(super) fn read_json<'j>(
    what: &'static str,
    json: impl Read<'j>,
    defaults: &Origin,
    limits: &SourceLimits,
    hand_on: HandOn<'_>,
) -> Result<(), SourceError> {
    let mut json = serde_json::Deserializer::new(json);
    let mut objects = 0;
    loop {
        let mut chunks = Chunks {
            limits: *limits,
            hand_on: &mut *hand_on,
            message_type: MessageType::Data,
            origin: defaults.clone(),
            runs: Vec::new(),
            bytes: 0,
            handed_on: 0,
            begun: false,
            stopped: false,
        };
        let read = Payload { chunks: &mut chunks }.deserialize(&mut json);
        let is_end = objects > 0 && !chunks.begun;
        match read {
            Err(error) if is_end && error.is_eof() => return Ok(()),
            Ok(()) => {
                chunks.finish();
                // Another attempt to parse would build an error with its line and column, which is slow.
                match json.end() {
                    Ok(()) => return Ok(()),
                    // A checksum error appears only at the end of the data.
                    Err(error) if error.is_io() => return Err(unreadable(what, &error)),
                    Err(_) => {}
                }
            }
            Err(error) => {
                // Log events before the error are passed on.
                if !chunks.stopped {
                    chunks.hand_on_runs();
                }
                return Err(unreadable(what, &error));
            }
        }
        objects += 1;
    }
}

fn unreadable(what: &'static str, error: &serde_json::Error) -> SourceError {
    SourceError::Json { what, problem: without_content(error) }
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

struct Chunks<'a> {
    limits: SourceLimits,
    hand_on: HandOn<'a>,
    message_type: MessageType,
    origin: Origin,
    runs: Vec<OriginRun>,
    bytes: usize,
    handed_on: usize,
    /// `false` at the end of the input.
    begun: bool,
    /// `true` after `hand_on` returned `false`.
    stopped: bool,
}

/// Consecutive log events of one account, region and log group.
#[derive(Default)]
struct OriginRun {
    extracted: ExtractedFields,
    events: Vec<LogEvent>,
}

impl Chunks<'_> {
    /// Returns `false` to stop.
    fn push(&mut self, event: LogEvent, extracted: ExtractedFields, origin_known: bool) -> bool {
        self.bytes += event.message.len() + event.id.len();
        match self.runs.last_mut() {
            Some(run) if run.extracted == extracted => run.events.push(event),
            _ => self.runs.push(OriginRun { extracted, events: vec![event] }),
        }
        // Batches need their origin. Until it is known, `inflated_bytes` limits the memory.
        if self.bytes < self.limits.chunk_bytes || !origin_known {
            return true;
        }
        self.bytes = 0;
        self.hand_on_runs()
    }

    fn hand_on_runs(&mut self) -> bool {
        for OriginRun { extracted, events } in std::mem::take(&mut self.runs) {
            let mut origin = self.origin.clone();
            if let Some(account) = extracted.account {
                origin.account = account;
            }
            if let Some(region) = extracted.region {
                origin.region = region;
            }
            if let Some(log_group) = extracted.log_group {
                let account = format!("{}:", origin.account);
                let name = log_group.strip_prefix(account.as_str()).unwrap_or(&log_group);
                name.clone_into(&mut origin.log_group);
            }
            self.handed_on += 1;
            if !(self.hand_on)(LogBatch { message_type: self.message_type, origin, events }) {
                self.stopped = true;
                return false;
            }
        }
        true
    }

    fn finish(&mut self) {
        if self.handed_on == 0 && self.runs.is_empty() {
            self.runs.push(OriginRun::default());
        }
        self.hand_on_runs();
    }
}

/// Deserializes a delivery and passes on its log events meanwhile.
struct Payload<'c, 'a> {
    chunks: &'c mut Chunks<'a>,
}

impl<'de> DeserializeSeed<'de> for Payload<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Payload<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the JSON object that CloudWatch Logs sends to a subscription")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.chunks.begun = true;
        let (mut has_group, mut has_events) = (false, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let origin = &mut self.chunks.origin;
            match key.as_ref() {
                "messageType" => {
                    if map.next_value::<String>()? == "CONTROL_MESSAGE" {
                        self.chunks.message_type = MessageType::Control;
                    }
                }
                "owner" => origin.account = map.next_value()?,
                "logGroup" => {
                    origin.log_group = map.next_value()?;
                    has_group = true;
                }
                "logStream" => origin.log_stream = map.next_value()?,
                "logEvents" => {
                    let Origin { log_stream, account, .. } = origin;
                    let origin_known = has_group && !log_stream.is_empty() && !account.is_empty();
                    map.next_value_seed(LogEvents { chunks: self.chunks, origin_known })?;
                    has_events = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_group && has_events {
            return Ok(());
        }
        let missing = if has_group { "logEvents" } else { "logGroup" };
        Err(serde::de::Error::missing_field(missing))
    }
}

struct LogEvents<'c, 'a> {
    chunks: &'c mut Chunks<'a>,
    origin_known: bool,
}

impl<'de> DeserializeSeed<'de> for LogEvents<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LogEvents<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of log events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        while let Some(event) = events.next_element::<RawEvent>()? {
            let RawEvent { id, timestamp, message, extracted_fields } = event;
            let event = LogEvent { id, timestamp_ms: timestamp, message: message.0 };
            let extracted = extracted_fields.unwrap_or_default();
            if !self.chunks.push(event, extracted, self.origin_known) {
                return Err(serde::de::Error::custom("the invocation is over"));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(default, deserialize_with = "id")]
    id: String,
    #[serde(default, deserialize_with = "timestamp")]
    timestamp: i64,
    message: LossyText,
    #[serde(default, rename = "extractedFields", deserialize_with = "extracted_fields")]
    extracted_fields: Option<ExtractedFields>,
}

/// Reads a time in milliseconds. Any other value counts as 0, so that the neighbours of the log event are read.
fn timestamp<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds")]
    let of_float = || value.as_f64().map(|millis| millis as i64);
    Ok(value.as_i64().or_else(of_float).unwrap_or_default())
}

/// The origin of a log event in a log group that collects logs of several accounts: the system fields of a subscription filter
/// (CloudWatch Logs API Reference, `PutSubscriptionFilter`, `emitSystemFields`; User Guide, "Cross-account cross-Region log
/// centralization").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct ExtractedFields {
    #[serde(default, rename = "@aws.account")]
    account: Option<String>,
    #[serde(default, rename = "@aws.region")]
    region: Option<String>,
    /// The log group of the source, with or without `ACCOUNT:` before its name.
    #[serde(default, rename = "@source.log")]
    log_group: Option<String>,
}

/// Parses the extracted fields. An unknown shape counts as none.
fn extracted_fields<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ExtractedFields>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Extracted {
        Fields(ExtractedFields),
        Other(IgnoredAny),
    }
    Ok(match Extracted::deserialize(deserializer)? {
        Extracted::Fields(fields) => Some(fields),
        Extracted::Other(_) => None,
    })
}

/// Text with U+FFFD in place of an unpaired surrogate, which is valid in JSON and not in UTF-8. One such message must not fail
/// the delivery.
struct LossyText(String);

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

/// An id: a string, or a number from AWS emulators. Other values become an empty id.
fn id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) if number.is_u64() => number.to_string(),
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_delivery_yields_no_batches() {
        let message = "x".repeat(20_000);
        let large = format!(
            r#"{{"owner":"1","logGroup":"g","logStream":"s","logEvents":[{{"message":"one"}},{{"message":"{message}"}}]}}"#
        );
        let gzip = wire::gzip::compress(6, large.as_bytes());
        let limits = SourceLimits { chunk_bytes: 1, inflated_bytes: 10_000 };
        let mut batches = 0;
        let read = read_gzip("it", &gzip, &Origin::default(), &limits, &mut |_| {
            batches += 1;
            true
        });
        assert!(matches!(read, Err(SourceError::TooLarge { .. })), "{read:?}");
        assert_eq!(batches, 0);
    }
}
