//! Reads the events that invoke the forwarder into batches of log events, in bounded chunks.
//!
//! The shape is that of the CloudWatch Logs User Guide, "Subscription filters with AWS Lambda":
//! `{"awslogs":{"data": base64(gzip(json))}}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::BufReader;

/// Bounds on one event.
#[derive(Clone, Copy, Debug)]
pub struct SourceLimits {
    /// A batch is handed on once its messages have this many bytes.
    pub chunk_bytes: usize,
    /// An event that inflates to more fails as a whole.
    pub inflated_bytes: usize,
}

impl Default for SourceLimits {
    fn default() -> Self {
        // As OTLP a batch of text is somewhat larger, and should still be one request.
        Self { chunk_bytes: 3 * 1024 * 1024, inflated_bytes: 64 * 1024 * 1024 }
    }
}

/// An event as Lambda gives it to the handler.
#[derive(Deserialize)]
pub struct Incoming {
    awslogs: Option<AwsLogs>,
}

#[derive(Deserialize)]
struct AwsLogs {
    data: String,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.awslogs.as_ref().map(|awslogs| awslogs.data.len());
        write!(f, "Incoming({bytes:?} bytes)")
    }
}

/// What CloudWatch Logs sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageType {
    /// Log events; also any type that is not known, so that no log event is lost by its label.
    #[default]
    Data,
    /// A test of whether the destination can be reached.
    Control,
}

/// Where log events come from; the same for all events of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Data or control.
    pub message_type: MessageType,
    /// AWS account of the log group.
    pub owner: String,
    /// Log group.
    pub log_group: String,
    /// Log stream.
    pub log_stream: String,
}

/// One log event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEvent {
    /// Unique id, 56 decimal digits; empty in control messages.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The line, usually with its newline.
    pub message: String,
}

/// Some of the log events of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// Where they come from.
    pub envelope: Envelope,
    /// In the order of the delivery.
    pub events: Vec<LogEvent>,
}

/// Why an event is no delivery of CloudWatch Logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// An event of some other service.
    #[error(
        "event has no `awslogs.data`: the forwarder is invoked by subscription filters of CloudWatch Logs only"
    )]
    Unknown,
    /// `awslogs.data` is not base64.
    #[error("`awslogs.data` is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The data does not inflate, or not to the JSON that CloudWatch Logs writes.
    #[error("`awslogs.data` does not hold what CloudWatch Logs sends: {0}")]
    Json(String),
}

impl Incoming {
    /// Hands the log events on in batches of about [`SourceLimits::chunk_bytes`], in order; a
    /// delivery without log events gives one empty batch. Stops early when `hand_on` says false.
    pub fn read(
        &self,
        limits: &SourceLimits,
        hand_on: &mut dyn FnMut(LogBatch) -> bool,
    ) -> Result<(), SourceError> {
        let data = &self.awslogs.as_ref().ok_or(SourceError::Unknown)?.data;
        let gzip = STANDARD.decode(data).map_err(SourceError::Base64)?;
        let json = BufReader::with_capacity(
            64 * 1024,
            wire::gzip::reader(gzip.as_slice(), limits.inflated_bytes),
        );
        let mut json = serde_json::Deserializer::from_reader(json);
        let mut chunks =
            Chunks { limits: *limits, hand_on, batch: LogBatch::default(), bytes: 0, handed_on: 0 };
        let read =
            Delivery { chunks: &mut chunks }.deserialize(&mut json).and_then(|()| json.end());
        // What was read before a mistake is handed on as well.
        if read.is_ok() || !chunks.batch.events.is_empty() {
            chunks.finish();
        }
        read.map_err(|error| SourceError::Json(without_content(&error.to_string())))
    }
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
    hand_on: &'a mut dyn FnMut(LogBatch) -> bool,
    batch: LogBatch,
    bytes: usize,
    handed_on: usize,
}

impl Chunks<'_> {
    /// False once nobody takes batches any more.
    fn push(&mut self, event: LogEvent, envelope_known: bool) -> bool {
        self.bytes += event.message.len() + event.id.len();
        self.batch.events.push(event);
        // Before the envelope is known nothing can be handed on; `inflated_bytes` bounds it.
        if self.bytes < self.limits.chunk_bytes || !envelope_known {
            return true;
        }
        self.bytes = 0;
        self.handed_on += 1;
        let next = LogBatch { envelope: self.batch.envelope.clone(), events: Vec::new() };
        (self.hand_on)(std::mem::replace(&mut self.batch, next))
    }

    fn finish(&mut self) {
        if self.handed_on == 0 || !self.batch.events.is_empty() {
            (self.hand_on)(std::mem::take(&mut self.batch));
        }
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
        let (mut has_group, mut has_events) = (false, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let envelope = &mut self.chunks.batch.envelope;
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
            let event = LogEvent {
                id: event.id.into_text(),
                timestamp_ms: event.timestamp,
                message: event.message.0,
            };
            if !self.chunks.push(event, self.envelope_known) {
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
                Ok(LossyText(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

/// Real ids are strings; stand-ins for AWS send numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
    Other(IgnoredAny),
}

impl Default for Id {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Other(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(json: &str) -> Incoming {
        let data = STANDARD.encode(wire::gzip::compress(6, json.as_bytes()));
        Incoming { awslogs: Some(AwsLogs { data }) }
    }

    fn batches(json: &str, chunk_bytes: usize) -> Result<Vec<LogBatch>, String> {
        let limits = SourceLimits { chunk_bytes, inflated_bytes: 10_000 };
        let mut batches = Vec::new();
        incoming(json)
            .read(&limits, &mut |batch| {
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
        let read = incoming(cut).read(&SourceLimits::default(), &mut |batch| {
            events += batch.events.len();
            true
        });
        assert!(read.is_err());
        assert_eq!(events, 1);
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
            "inflates to more than 10000",
        );
        let not_base64 = Incoming { awslogs: Some(AwsLogs { data: "!".into() }) };
        let error = not_base64.read(&SourceLimits::default(), &mut |_| true).unwrap_err();
        assert_eq!(error.to_string(), "`awslogs.data` is not base64");
        let unknown: Incoming = serde_json::from_str(r#"{"Records":[]}"#).unwrap();
        let error = unknown.read(&SourceLimits::default(), &mut |_| true).unwrap_err();
        assert!(error.to_string().starts_with("event has no `awslogs.data`"));
    }
}
