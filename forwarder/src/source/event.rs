//! Detects the event source from the shape of the event.
//!
//! Shapes: Lambda Developer Guide, "Using Lambda with CloudWatch Logs", "… Kinesis", "… SQS".

use super::subscription_data::{self, decode_base64};
use super::{Batches, KinesisRecord, Origin, SourceError, SourceLimits, failed};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

#[derive(Debug)]
pub enum Event {
    CloudWatchLogs(Subscription),
    /// Records of a Kinesis stream, in shard order.
    Kinesis(Vec<KinesisRecord>),
    /// Messages of an SQS queue: parked requests, or Lambda's records of failed invocations.
    Queue(Vec<QueueMessage>),
    /// Any other event, with a description.
    Unknown(String),
}

/// The event of a subscription: `{"awslogs":{"data": base64(gzip(json))}}`.
pub struct Subscription {
    data: Data,
}

enum Data {
    Gzip(Vec<u8>),
    /// Invalid base64.
    Text(String),
}

#[derive(Deserialize)]
struct AwsLogs {
    data: Option<Data>,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Data;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Data, E> {
                self.visit_bytes(text.as_bytes())
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Data, E> {
                // Decoded in place; a copy of the text would need another megabyte.
                Ok(wire::decode_base64(text).map_or_else(
                    || Data::Text(String::from_utf8_lossy(text).into_owned()),
                    Data::Gzip,
                ))
            }
        }
        deserializer.deserialize_bytes(Base64)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match &self.data {
            Data::Gzip(bytes) => bytes.len(),
            Data::Text(text) => text.len(),
        };
        write!(f, "Subscription({bytes} bytes)")
    }
}

const WHAT: &str = "`awslogs.data`";

impl Subscription {
    /// The decoded bytes, or the text itself if it is invalid base64.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.data {
            Data::Gzip(bytes) => bytes.clone(),
            Data::Text(text) => text.as_str().into(),
        }
    }

    pub(crate) fn batches(&self, limits: &SourceLimits) -> Batches<'_> {
        match &self.data {
            Data::Gzip(gzip) => subscription_data::read_gzip(WHAT, gzip, Origin::default(), limits),
            Data::Text(text) => match decode_base64(WHAT, text) {
                Ok(gzip) => subscription_data::read_gzip(WHAT, gzip, Origin::default(), limits),
                Err(error) => failed(error),
            },
        }
    }
}

impl Event {
    /// All log events, in batches of about [`SourceLimits::chunk_bytes`].
    pub fn batches(&self, limits: &SourceLimits) -> Batches<'_> {
        match self {
            Self::CloudWatchLogs(subscription) => subscription.batches(limits),
            Self::Kinesis(records) => {
                let limits = *limits;
                Box::new(records.iter().flat_map(move |record| record.batches(&limits)))
            }
            Self::Queue(_) => {
                failed(SourceError::Unknown("messages of a queue inside another event".to_owned()))
            }
            Self::Unknown(what) => failed(SourceError::Unknown(what.clone())),
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Lambda event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let mut found = None;
        let mut keys: Vec<String> = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "awslogs" => {
                    // Read in place; a copy of the raw value would need another megabyte.
                    let AwsLogs { data } = map.next_value()?;
                    found = data.map(|data| Event::CloudWatchLogs(Subscription { data }));
                }
                "Records" => {
                    let records = map.next_value::<Box<RawValue>>()?;
                    found = Some(of_records(records.get()));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if keys.len() < MOST_KEYS {
                keys.push(key.chars().filter(char::is_ascii_alphanumeric).take(32).collect());
            }
        }
        Ok(found.unwrap_or_else(|| Event::Unknown(looks_like(&keys))))
    }

    fn visit_unit<E>(self) -> Result<Event, E> {
        Ok(Event::Unknown("the event is null".to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Event, E> {
        Ok(not_an_object())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Event, E> {
        Ok(not_an_object())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Event, E> {
        Ok(not_an_object())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Event, E> {
        Ok(not_an_object())
    }

    fn visit_str<E>(self, _: &str) -> Result<Event, E> {
        Ok(not_an_object())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Event, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(not_an_object())
    }
}

fn not_an_object() -> Event {
    Event::Unknown("the event is not a JSON object".to_owned())
}

/// The first keys are enough to identify a service.
const MOST_KEYS: usize = 12;

/// Kinesis, SQS, S3, SNS, DynamoDB and SES all call their list `Records`.
fn of_records(json: &str) -> Event {
    #[derive(Deserialize)]
    struct RecordSource {
        #[serde(rename = "eventSource", alias = "EventSource", default)]
        event_source: String,
    }
    let sources: Vec<RecordSource> = match serde_json::from_str(json) {
        Ok(sources) => sources,
        Err(_) => return Event::Unknown("`Records` is not a list of records".to_owned()),
    };
    let source = sources.first().map_or("", |source| source.event_source.as_str());
    let read = match source {
        "aws:kinesis" => serde_json::from_str(json).map(Event::Kinesis),
        "aws:sqs" => serde_json::from_str(json).map(Event::Queue),
        "" => return Event::Unknown("`Records` have no event source".to_owned()),
        other => return Event::Unknown(format!("records of {}", short(other))),
    };
    // serde_json quotes values of a wrong type, so its error is not shown.
    read.unwrap_or_else(|_| Event::Unknown(format!("records of {source} of an unknown shape")))
}

fn short(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || ":._-".contains(*c)).take(40).collect()
}

/// Describes an unknown event by its keys.
fn looks_like(keys: &[String]) -> String {
    if keys.iter().any(|key| key == "deliveryStreamArn") {
        return "an event of a Firehose transformation; subscribe the forwarder to the log group instead, or send through a Kinesis stream".to_owned();
    }
    match keys {
        [] => "an empty event".to_owned(),
        keys => format!("an event with the keys {}", keys.join(", ")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    /// Identifies the message in a partial batch response.
    pub message_id: String,
    /// Identifies this receipt of the message.
    pub receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
}

impl fmt::Debug for QueueMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueMessage({}, {} bytes)", self.message_id, self.body.len())
    }
}

impl QueueMessage {
    /// The number of receipts, including this one; at least 1.
    pub fn receive_count(&self) -> u32 {
        let count = self.attributes.get("ApproximateReceiveCount");
        count.and_then(|count| count.parse().ok()).unwrap_or(1).max(1)
    }

    /// Time of the first receipt, in nanoseconds since the Unix epoch; 0 if unknown.
    pub fn first_received_unix_nano(&self) -> u64 {
        let time = self.attributes.get("ApproximateFirstReceiveTimestamp");
        let time_ms: Option<u64> = time.and_then(|time| time.parse().ok());
        time_ms.unwrap_or_default().saturating_mul(1_000_000)
    }

    pub fn text(&self) -> &str {
        &self.body
    }
}

#[derive(Debug)]
pub enum QueueBody<'a> {
    /// An event, bare or from the record of a failed invocation.
    Event(Event),
    /// Any other text, for example a parked request.
    Other(&'a str),
}

impl QueueMessage {
    pub fn body(&self) -> QueueBody<'_> {
        #[derive(Deserialize)]
        struct InvocationRecord {
            #[serde(rename = "requestPayload")]
            request_payload: Event,
        }
        if let Ok(InvocationRecord { request_payload }) = serde_json::from_str(self.text()) {
            return QueueBody::Event(request_payload);
        }
        match serde_json::from_str(self.text()) {
            Ok(event @ (Event::CloudWatchLogs(_) | Event::Kinesis(_))) => QueueBody::Event(event),
            _ => QueueBody::Other(self.text()),
        }
    }
}
