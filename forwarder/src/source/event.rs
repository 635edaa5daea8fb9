//! Detects the event source from the shape of the event.
//!
//! Shapes: Lambda Developer Guide, "Using Lambda with CloudWatch Logs", "… Kinesis", "… SQS".

use super::subscription_data::read_gzip;
use super::{Batches, KinesisRecord, Origin, SourceError, SourceLimits, failed};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

#[derive(Debug, Deserialize)]
#[serde(from = "EventFields")]
pub enum Event {
    /// The data of a subscription: `{"awslogs":{"data": base64(gzip(json))}}`.
    CloudWatchLogs(EventData),
    /// Records of a Kinesis stream, in shard order.
    Kinesis(Vec<KinesisRecord>),
    /// Messages of an SQS queue: parked requests, or Lambda's records of failed invocations.
    Queue(Vec<QueueMessage>),
    /// Any other event, with a description.
    Unknown(String),
}

#[derive(Deserialize)]
struct AwsLogs {
    data: Option<EventData>,
}

/// Data that an event carries as base64.
pub struct EventData {
    /// The decoded bytes, or the text itself if it is not base64.
    bytes: Vec<u8>,
    is_base64: bool,
}

impl<'de> Deserialize<'de> for EventData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Bytes are neither copied, which would need another megabyte, nor checked for UTF-8.
        #[derive(Deserialize)]
        struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, [u8]>);
        let BorrowedText(text) = BorrowedText::deserialize(deserializer)?;
        let decoded = wire::decode_base64(&text);
        let is_base64 = decoded.is_some();
        let as_text = || String::from_utf8_lossy(&text).into_owned().into_bytes();
        Ok(Self { bytes: decoded.unwrap_or_else(as_text), is_base64 })
    }
}

impl fmt::Debug for EventData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventData({} bytes)", self.bytes().len())
    }
}

impl EventData {
    pub(super) fn decoded(&self, what: &'static str) -> Result<&[u8], SourceError> {
        if self.is_base64 {
            Ok(&self.bytes)
        } else {
            Err(SourceError(format!("{what} is not base64")))
        }
    }

    /// The decoded bytes, or the text itself.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Event {
    /// All log events, in batches of about [`SourceLimits::batch_bytes`].
    pub fn batches(&self, limits: &SourceLimits) -> Batches<'_> {
        match self {
            Self::CloudWatchLogs(data) => {
                const WHAT: &str = "`awslogs.data`";
                match data.decoded(WHAT) {
                    Ok(gzip) => read_gzip(WHAT, gzip, Origin::default(), limits),
                    Err(error) => failed(error),
                }
            }
            Self::Kinesis(records) => {
                let limits = *limits;
                Box::new(records.iter().flat_map(move |record| record.batches(&limits)))
            }
            Self::Queue(_) => {
                failed(SourceError::unknown("messages of a queue inside another event"))
            }
            Self::Unknown(what) => failed(SourceError::unknown(what)),
        }
    }
}

/// The fields that identify the source. Large values are read in place; a copy would need another megabyte.
#[derive(Deserialize)]
struct EventFields {
    awslogs: Option<AwsLogs>,
    #[serde(rename = "Records")]
    records: Option<Box<RawValue>>,
    #[serde(rename = "deliveryStreamArn")]
    delivery_stream: Option<IgnoredAny>,
}

impl From<EventFields> for Event {
    fn from(EventFields { awslogs, records, delivery_stream }: EventFields) -> Self {
        match (awslogs.and_then(|AwsLogs { data }| data), records) {
            (Some(data), _) => Self::CloudWatchLogs(data),
            (None, Some(records)) => of_records(records.get()),
            (None, None) if delivery_stream.is_some() => Self::Unknown(
                "an event of a Firehose transformation; subscribe the forwarder to the log group instead, or send through a Kinesis stream".to_owned(),
            ),
            (None, None) => {
                Self::Unknown("an event without `awslogs.data` and without `Records`".to_owned())
            }
        }
    }
}

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    /// Identifies the message in a partial batch response.
    pub message_id: String,
    /// Identifies this receipt of the message.
    pub receipt_handle: String,
    body: String,
    /// ARN of its queue.
    #[serde(rename = "eventSourceARN", default)]
    event_source_arn: String,
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

    pub(crate) fn text(&self) -> &str {
        &self.body
    }

    /// ARN of the queue that it comes from, as Lambda states it; empty if unknown.
    pub(crate) fn event_source_arn(&self) -> &str {
        &self.event_source_arn
    }

    /// The event in the message, bare or in the record of a failed invocation.
    pub fn event(&self) -> Option<Event> {
        #[derive(Deserialize)]
        struct InvocationRecord {
            #[serde(rename = "requestPayload")]
            request_payload: Event,
        }
        if let Ok(InvocationRecord { request_payload }) = serde_json::from_str(self.text()) {
            return Some(request_payload);
        }
        let event = serde_json::from_str(self.text()).ok();
        event.filter(|event| matches!(event, Event::CloudWatchLogs(_) | Event::Kinesis(_)))
    }
}
