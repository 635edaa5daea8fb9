//! Reads what CloudWatch Logs delivers to a subscription into batches of log events, in bounded
//! chunks.
//!
//! The shape is that of the CloudWatch Logs User Guide, "Subscription filters with AWS Lambda": gzip of
//! a JSON object, or of several behind each other.

use super::{Envelope, HandOn, LogBatch, LogEvent, MessageType, SourceError, SourceLimits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::{IoRead, Read, SliceRead};
use std::borrow::Cow;
use std::fmt;
use std::io::BufReader;

/// Decodes base64; `what` names it in the error.
pub(super) fn decode_base64(what: &'static str, text: &str) -> Result<Vec<u8>, SourceError> {
    // The fast decoder does not say what is wrong.
    wire::decode_base64(text.as_bytes())
        .map_or_else(|| STANDARD.decode(text), Ok)
        .map_err(|source| SourceError::Base64 { what, source })
}

/// Whether text that is not compressed is a delivery, which Firehose and others can inflate.
pub(super) fn is_delivery(text: &str) -> bool {
    let head = text.get(..text.floor_char_boundary(4096)).unwrap_or_default();
    let has = |key| head.contains(key);
    text.trim_start().starts_with('{') && has("\"messageType\"") && has("\"logGroup\"")
}

/// A delivery that inflates to at most this is read in place, which takes a tenth of the time; a
/// larger one is inflated while it is read.
const MOST_BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Reads a compressed delivery; see [`read_json`].
pub(super) fn read_gzip(
    what: &'static str,
    gzip: &[u8],
    defaults: &Envelope,
    limits: &SourceLimits,
    hand_on: HandOn<'_>,
) -> Result<(), SourceError> {
    // Refused before any of it is delivered: Lambda's further attempts would deliver that again.
    if let Some(bytes) = stated_bytes(gzip).filter(|bytes| *bytes > limits.inflated_bytes) {
        return Err(SourceError::TooLarge { what, bytes, most: limits.inflated_bytes });
    }
    let at_once = limits.inflated_bytes.min(MOST_BYTES_AT_ONCE);
    if let Some(json) = wire::gzip::inflate_plain(gzip, at_once) {
        return read_inflated(what, &json, defaults, limits, hand_on);
    }
    let json = BufReader::with_capacity(64 * 1024, wire::gzip::reader(gzip, limits.inflated_bytes));
    read_json(what, IoRead::new(json), defaults, limits, hand_on)
}

/// Reads a delivery that was inflated; see [`read_json`].
pub(super) fn read_inflated(
    what: &'static str,
    json: &[u8],
    defaults: &Envelope,
    limits: &SourceLimits,
    hand_on: HandOn<'_>,
) -> Result<(), SourceError> {
    read_json(what, SliceRead::new(json), defaults, limits, hand_on)
}

/// What the data says it inflates to, modulo 2^32 (ISIZE; RFC 1952, 2.3.1). Whoever lies about it is
/// found while it inflates.
fn stated_bytes(gzip: &[u8]) -> Option<usize> {
    let (_, last) = gzip.split_last_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*last)).ok()
}

/// Hands the log events on in batches of about [`SourceLimits::chunk_bytes`], in order; a delivery
/// without log events gives one empty batch. Stops early when `hand_on` says false. `defaults` is what
/// is known of the envelope without it; `what` names the data in errors.
pub(super) fn read_json<'j>(
    what: &'static str,
    json: impl Read<'j>,
    defaults: &Envelope,
    limits: &SourceLimits,
    hand_on: HandOn<'_>,
) -> Result<(), SourceError> {
    let mut json = serde_json::Deserializer::new(json);
    let mut objects = 0;
    loop {
        let mut chunks = Chunks {
            limits: *limits,
            hand_on: &mut *hand_on,
            envelope: defaults.clone(),
            runs: Vec::new(),
            bytes: 0,
            handed_on: 0,
            begun: false,
            stopped: false,
        };
        let read = Delivery { chunks: &mut chunks }.deserialize(&mut json);
        let is_end = objects > 0 && !chunks.begun;
        match read {
            Err(error) if is_end && error.is_eof() => return Ok(()),
            Ok(()) => {
                chunks.finish();
                // To run into the end would make an error of it, which looks for its line and column.
                match json.end() {
                    Ok(()) => return Ok(()),
                    // The end of a compressed delivery says whether all of it was right.
                    Err(error) if error.is_io() => return Err(unreadable(what, &error)),
                    Err(_) => {}
                }
            }
            Err(error) => {
                // What was read before a mistake is handed on as well.
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
    SourceError::Json { what, problem: without_content(&error.to_string()) }
}

/// serde_json quotes a value of the wrong type, which is a customer's.
fn without_content(error: &str) -> String {
    match (error.find('"'), error.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let before = error.get(..first).unwrap_or_default();
            let after = error.get(last + 1..).unwrap_or_default();
            format!("{before}…{after}")
        }
        _ => error.to_owned(),
    }
}

struct Chunks<'a> {
    limits: SourceLimits,
    hand_on: HandOn<'a>,
    envelope: Envelope,
    runs: Vec<Run>,
    bytes: usize,
    handed_on: usize,
    /// Whether an object began: without one the input is at its end.
    begun: bool,
    /// Whether nobody takes batches any more.
    stopped: bool,
}

/// Neighbouring log events of one account and region.
#[derive(Default)]
struct Run {
    place: Place,
    events: Vec<LogEvent>,
}

/// Where a log event comes from, if its extracted fields say so: a log group may collect the logs of
/// several accounts (CloudWatch Logs User Guide, "Cross-account cross-Region log centralization").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Place {
    #[serde(default, rename = "@aws.account")]
    account: Option<String>,
    #[serde(default, rename = "@aws.region")]
    region: Option<String>,
}

impl Chunks<'_> {
    /// False once nobody takes batches any more.
    fn push(&mut self, event: LogEvent, place: Place, envelope_known: bool) -> bool {
        self.bytes += event.message.len() + event.id.len();
        match self.runs.last_mut() {
            Some(run) if run.place == place => run.events.push(event),
            _ => self.runs.push(Run { place, events: vec![event] }),
        }
        // Before the envelope is known nothing can be handed on; `inflated_bytes` bounds it.
        if self.bytes < self.limits.chunk_bytes || !envelope_known {
            return true;
        }
        self.bytes = 0;
        self.hand_on_runs()
    }

    fn hand_on_runs(&mut self) -> bool {
        for Run { place, events } in std::mem::take(&mut self.runs) {
            let mut envelope = self.envelope.clone();
            if let Some(account) = place.account {
                envelope.owner = account;
            }
            envelope.region = place.region.or(envelope.region);
            self.handed_on += 1;
            if !(self.hand_on)(LogBatch { envelope, events }) {
                self.stopped = true;
                return false;
            }
        }
        true
    }

    fn finish(&mut self) {
        if self.handed_on == 0 && self.runs.is_empty() {
            self.runs.push(Run::default());
        }
        self.hand_on_runs();
    }
}

/// Deserializes the delivery, handing on its log events on the way.
struct Delivery<'c, 'a> {
    chunks: &'c mut Chunks<'a>,
}

impl<'de> DeserializeSeed<'de> for Delivery<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Delivery<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the JSON object that CloudWatch Logs sends to a subscription")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.chunks.begun = true;
        let (mut has_group, mut has_events) = (false, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let envelope = &mut self.chunks.envelope;
            match key.as_ref() {
                "messageType" => {
                    if map.next_value::<String>()? == "CONTROL_MESSAGE" {
                        envelope.message_type = MessageType::Control;
                    }
                }
                "owner" => envelope.owner = map.next_value()?,
                "logGroup" => {
                    envelope.log_group = map.next_value()?;
                    has_group = true;
                }
                "logStream" => envelope.log_stream = map.next_value()?,
                "logEvents" => {
                    let Envelope { log_stream, owner, .. } = envelope;
                    let envelope_known = has_group && !log_stream.is_empty() && !owner.is_empty();
                    map.next_value_seed(LogEvents { chunks: self.chunks, envelope_known })?;
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
    envelope_known: bool,
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
            let event = LogEvent { id: id.0, timestamp_ms: timestamp, message: message.0 };
            let place = extracted_fields.unwrap_or_default();
            if !self.chunks.push(event, place, self.envelope_known) {
                return Err(serde::de::Error::custom("the invocation is over"));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(default)]
    id: Id,
    timestamp: i64,
    message: LossyText,
    #[serde(default, rename = "extractedFields", deserialize_with = "place")]
    extracted_fields: Option<Place>,
}

/// The place that the extracted fields name; of another shape they name none.
fn place<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Place>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Extracted {
        Place(Place),
        Other(IgnoredAny),
    }
    Ok(match Extracted::deserialize(deserializer)? {
        Extracted::Place(place) => Some(place),
        Extracted::Other(_) => None,
    })
}

/// Text in which half of a surrogate pair, which JSON can spell and UTF-8 cannot, becomes U+FFFD:
/// one such message must not cost the whole delivery.
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
                // The lossy reader takes twenty times as long, and nearly no text needs it.
                let text = std::str::from_utf8(bytes)
                    .map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned);
                Ok(LossyText(text))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

/// Real ids are strings; stand-ins for AWS send numbers. Anything else is no id.
#[derive(Default)]
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_unit<E>(self) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Id, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Id::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Id::default())
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(json: &str, chunk_bytes: usize) -> Result<Vec<LogBatch>, String> {
        let limits = SourceLimits { chunk_bytes, inflated_bytes: 10_000 };
        let mut batches = Vec::new();
        let gzip = wire::gzip::compress(6, json.as_bytes());
        read_gzip("it", &gzip, &Envelope::default(), &limits, &mut |batch| {
            batches.push(batch);
            true
        })
        .map_err(|error| error.to_string())?;
        Ok(batches)
    }

    const TWO: &str = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s",
        "subscriptionFilters":["f"],"logEvents":[
        {"id":"1","timestamp":5,"message":"one\n"},
        {"id":2,"timestamp":6,"message":"two","extractedFields":{"k":"v"}}]}"#;

    #[test]
    fn log_events_come_in_order_with_their_envelope() {
        let all = batches(TWO, 1000).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].envelope.log_group, "g");
        assert_eq!(all[0].events[0].message, "one\n");
        assert_eq!(all[0].events[1].id, "2");
        let chunks = batches(TWO, 1).unwrap();
        assert_eq!(chunks.len(), 2);
        assert!(chunks.iter().all(|batch| batch.envelope == all[0].envelope));
        assert!(chunks.iter().all(|batch| batch.events.len() == 1));
    }

    #[test]
    fn an_envelope_behind_its_events_is_waited_for() {
        let late = r#"{"logEvents":[{"id":"1","timestamp":5,"message":"one"},
            {"id":"2","timestamp":6,"message":"two"}],"logStream":"s","owner":"1","logGroup":"g"}"#;
        let batches = batches(late, 1).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].envelope.log_group, "g");
        assert_eq!(batches[0].events.len(), 2);
    }

    #[test]
    fn nothing_of_a_delivery_that_is_too_large_is_handed_on() {
        let large = TWO.replace("two", &"x".repeat(20_000));
        let gzip = wire::gzip::compress(6, large.as_bytes());
        let limits = SourceLimits { chunk_bytes: 1, inflated_bytes: 10_000 };
        let mut batches = 0;
        let read = read_gzip("it", &gzip, &Envelope::default(), &limits, &mut |_| {
            batches += 1;
            true
        });
        assert!(matches!(read, Err(SourceError::TooLarge { .. })), "{read:?}");
        assert_eq!(batches, 0);
    }

    #[test]
    fn half_a_surrogate_pair_costs_one_character() {
        let json = TWO.replace("two", "bad \\ud800 x");
        let all = batches(&json, 1000).unwrap();
        assert_eq!(all[0].events[0].message, "one\n");
        assert_eq!(
            all[0].events[1].message.trim_end_matches('x').trim_end(),
            "bad \u{fffd}\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn what_was_read_before_a_mistake_is_handed_on() {
        let cut = TWO
            .split_once(
                r#",
        {"id":2"#,
            )
            .unwrap()
            .0;
        let mut events = 0;
        let limits = SourceLimits::default();
        let read = read_json(
            "it",
            SliceRead::new(cut.as_bytes()),
            &Envelope::default(),
            &limits,
            &mut |batch| {
                events += batch.events.len();
                true
            },
        );
        assert!(read.is_err());
        assert_eq!(events, 1);
    }

    #[test]
    fn a_wrong_checksum_behind_whole_json_is_an_error() {
        let mut gzip = wire::gzip::compress(6, TWO.as_bytes());
        let checksum = gzip.len() - 8;
        gzip[checksum] ^= 1;
        let mut events = 0;
        let limits = SourceLimits::default();
        let read = read_gzip("it", &gzip, &Envelope::default(), &limits, &mut |batch| {
            events += batch.events.len();
            true
        });
        let error = read.unwrap_err().to_string();
        assert!(error.contains("corrupt"), "{error}");
        assert_eq!(events, 2);
    }

    #[test]
    fn control_messages_and_empty_deliveries_are_batches_too() {
        let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"",
            "logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL"}]}"#;
        assert_eq!(batches(control, 10).unwrap()[0].envelope.message_type, MessageType::Control);
        let empty = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[]}"#;
        let empty = batches(empty, 10).unwrap();
        assert_eq!((empty.len(), empty[0].events.len()), (1, 0));
    }

    #[test]
    fn what_is_no_delivery_is_an_error_that_says_so() {
        let check = |json: &str, expected: &str| {
            let error = batches(json, 10).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("{}", "missing field `logGroup`");
        check(r#"{"logGroup":"g"}"#, "missing field `logEvents`");
        check("[]", "expected the JSON object that CloudWatch Logs sends");
        check(r#"{"logGroup":"g","logEvents":[{"id":"#, "EOF while parsing");
        check(
            r#"{"logGroup":"g","logEvents":"a customer's text"}"#,
            "invalid type: string …, expected",
        );
        check(
            &format!("{{\"logGroup\":\"{}\"}}", "g".repeat(20_000)),
            "it inflates to 20015 bytes, at most 10000 are read",
        );
        let error = decode_base64("`awslogs.data`", "!").unwrap_err();
        assert_eq!(error.to_string(), "`awslogs.data` is not base64");
    }

    /// Account, region, log group and messages of each batch.
    #[track_caller]
    fn check(json: &str, expected: &str) {
        let shown = |chunk_bytes| {
            let batches = batches(json, chunk_bytes).unwrap_or_else(|error| panic!("{error}"));
            let shown = batches.into_iter().map(|LogBatch { envelope, events }| {
                let Envelope { owner, region, log_group, .. } = envelope;
                let region = region.unwrap_or_default();
                let messages: Vec<_> = events.into_iter().map(|event| event.message).collect();
                format!("{owner} {region} {log_group}: {}", messages.join(","))
            });
            shown.collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(shown(1000), expected);
    }

    #[test]
    fn objects_behind_each_other_are_deliveries_of_their_own() {
        let other = r#"{"owner":"2","logGroup":"h","logStream":"s","logEvents":[{"id":"3","timestamp":7,"message":"three"}]}"#;
        check(&format!("{TWO}{other}\n"), "1  g: one\n,two | 2  h: three");
        check(&format!("{TWO}\n\n{other}{other}"), "1  g: one\n,two | 2  h: three | 2  h: three");
        let error = batches(&format!("{TWO}{{\"logGroup\":"), 1000).unwrap_err();
        assert!(error.contains("EOF while parsing"), "{error}");
        let error = batches(&format!("{TWO} x"), 1000).unwrap_err();
        assert!(error.contains("expected value"), "{error}");
    }

    #[test]
    fn extracted_fields_name_account_and_region() {
        let with = |fields: &str| TWO.replace(r#"{"k":"v"}"#, fields);
        check(&with(r#"{"k":"v","@x":{"y":[1]}}"#), "1  g: one\n,two");
        check(
            &with(r#"{"@aws.account":"2","@aws.region":"us-west-2"}"#),
            "1  g: one\n | 2 us-west-2 g: two",
        );
        check(&with(r#"{"@aws.region":"us-west-2"}"#), "1  g: one\n | 1 us-west-2 g: two");
        check(&with(r#"{"@aws.account":7}"#), "1  g: one\n,two");
        check(&with("null"), "1  g: one\n,two");
        check(&with("7"), "1  g: one\n,two");
    }
}
