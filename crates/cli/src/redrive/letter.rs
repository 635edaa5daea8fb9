//! Reads letters: messages of the dead-letter queue, and Lambda's records of failed invocations.

use forwarder::{
    Content, Event, LogEventRange, MAX_MESSAGE_BYTES, Message, NotParked, Parked, QueueBody,
    QueueMessage, SourceLimits,
};
use regex::Regex;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;
use wire::SignalKind;

const MOST_REASON_CHARS: usize = 200;

/// Telemetry that can be sent again.
pub(crate) struct Letter {
    content: LetterContent,
    pub(crate) reason: String,
}

enum LetterContent {
    Parked(Box<Parked>),
    /// The event of an invocation, as text and parsed.
    Event(Box<str>, Event),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Parked(#[from] NotParked),
    #[error("{0}: the redrive function cannot process it")]
    Event(String),
    #[error("cannot read its log events: {0}")]
    LogEvents(String),
    #[error("invalid bytes ({0})")]
    Raw(String),
    #[error("a part is too large for a message: {0}")]
    TooLarge(String),
}

impl fmt::Debug for Letter {
    /// Omits the content, which is a customer's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({})", self.reason)
    }
}

impl Letter {
    pub(crate) fn from_message(body: &str) -> Result<Self, Unreadable> {
        match Parked::from_body(body) {
            Ok(Parked { content: Content::Raw(bytes), reason, .. }) => {
                Self::from_raw(bytes, &reason)
            }
            Ok(parked) => Ok(Self {
                reason: short(&parked.reason),
                content: LetterContent::Parked(Box::new(parked)),
            }),
            Err(not_parked) => Self::from_event(body).ok_or(Unreadable::Parked(not_parked)),
        }
    }

    /// Reads a message that a version of the forwarder could not parse and stored unchanged.
    fn from_raw(bytes: Vec<u8>, reason: &str) -> Result<Self, Unreadable> {
        let unreadable = Unreadable::Raw(short(reason));
        let body = String::from_utf8(bytes).map_err(|_| unreadable.clone())?;
        match Parked::from_body(&body) {
            Ok(Parked { content: Content::Raw(_), .. }) => Err(unreadable),
            Ok(parked) => {
                let content = LetterContent::Parked(Box::new(parked));
                Ok(Self { content, reason: short(reason) })
            }
            Err(_) => Self::from_event(&body).ok_or(unreadable),
        }
    }

    fn from_event(body: &str) -> Option<Self> {
        if let Ok(letter) = Self::from_record(body.as_bytes()) {
            return Some(letter);
        }
        let message = serde_json::json!({ "messageId": "", "receiptHandle": "", "body": body });
        let message: QueueMessage = serde_json::from_value(message).ok()?;
        let QueueBody::Event(event) = message.body() else { return None };
        let content = LetterContent::Event(body.into(), event);
        Some(Self { content, reason: "an event without a reason".to_owned() })
    }

    /// Reads Lambda's record of a failed invocation from its on-failure destination.
    ///
    /// Source: Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" (`requestPayload`) and
    /// "Retain discarded batches" of Kinesis (`payload`, the event as text).
    pub(crate) fn from_record(json: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Record<'a> {
            #[serde(borrow)]
            request_payload: Option<&'a RawValue>,
            payload: Option<String>,
            #[serde(default)]
            request_context: Context,
            response_payload: Option<ErrorObject>,
        }
        #[derive(Default, Deserialize)]
        struct Context {
            #[serde(default)]
            condition: String,
        }
        #[derive(Deserialize)]
        struct ErrorObject {
            #[serde(rename = "errorMessage", default)]
            error_message: String,
        }
        let other = || Unreadable::Event("not a record of a failed invocation".to_owned());
        let record: Record<'_> = serde_json::from_slice(json).map_err(|_| other())?;
        let text = match (record.request_payload, &record.payload) {
            (Some(payload), _) => payload.get(),
            (None, Some(payload)) => payload,
            (None, None) => return Err(other()),
        };
        let event = match serde_json::from_str(text) {
            Ok(event @ (Event::CloudWatchLogs(_) | Event::Kinesis(_))) => event,
            Ok(Event::Unknown(what)) => return Err(Unreadable::Event(what)),
            Ok(Event::Queue(_)) => return Err(Unreadable::Event("messages of a queue".to_owned())),
            Err(_) => return Err(Unreadable::Event("no event".to_owned())),
        };
        let condition = match record.request_context.condition.as_str() {
            "" => "failed invocation",
            condition => condition,
        };
        let error = record.response_payload.map(|error| error.error_message).unwrap_or_default();
        let separator = if error.is_empty() { "" } else { ": " };
        let reason = short(&format!("{condition}{separator}{error}"));
        Ok(Self { content: LetterContent::Event(text.into(), event), reason })
    }

    /// The name of the destination; `None` if the forwarder's rules choose it.
    pub(crate) fn destination(&self) -> Option<&str> {
        match &self.content {
            LetterContent::Parked(parked) => match &parked.content {
                Content::Request(_) => Some(&parked.destination),
                _ => None,
            },
            LetterContent::Event(..) => None,
        }
    }

    /// Returns `true` if the backend has a part of it, which would be stored twice.
    pub(crate) fn is_partial(&self) -> bool {
        matches!(&self.content, LetterContent::Parked(parked) if parked.partial)
    }

    pub(crate) fn items(&self) -> usize {
        match &self.content {
            LetterContent::Parked(parked) => match &parked.content {
                Content::Request(request) => request.items(),
                _ => parked.items,
            },
            LetterContent::Event(..) => 1,
        }
    }

    /// The time of the oldest log record or span, which the backend's ingest window may exclude.
    pub(crate) fn oldest_in_window(&self) -> Option<u64> {
        match &self.content {
            LetterContent::Parked(parked) => match &parked.content {
                Content::Request(request) if request.kind() != SignalKind::Metrics => {
                    Some(parked.oldest_unix_nano).filter(|oldest| *oldest > 0)
                }
                _ => None,
            },
            LetterContent::Event(..) => None,
        }
    }

    /// Converts the letter to messages for the retry queue.
    ///
    /// A parked request starts over. `first_seen` becomes the present time, because the redrive function derives from
    /// it when the queue will delete the message. A partly accepted request is sent as a whole, and no longer counts as
    /// partial. The times of the records, the origin and the reason stay.
    pub(crate) fn into_messages(self, now_unix_nano: u64) -> Result<Vec<Message>, Unreadable> {
        let parked = match self.content {
            LetterContent::Parked(parked) => {
                let items = match &parked.content {
                    Content::Request(request) => request.items(),
                    _ => parked.items,
                };
                let parked = *parked;
                Parked { first_seen_unix_nano: now_unix_nano, partial: false, items, ..parked }
            }
            LetterContent::Event(text, _) if text.len() <= MAX_MESSAGE_BYTES => {
                return Ok(vec![Message { body: text.into(), items: 1 }]);
            }
            LetterContent::Event(_, event) => {
                return log_events(&event, &self.reason, now_unix_nano);
            }
        };
        divide(parked)
    }
}

/// Splits an event that is larger than a message into its log events.
fn log_events(event: &Event, reason: &str, now: u64) -> Result<Vec<Message>, Unreadable> {
    let batches = event.batches(&SourceLimits::default()).collect::<Result<Vec<_>, _>>();
    let batches = batches.map_err(|error| Unreadable::LogEvents(error.to_string()))?;
    let mut messages = Vec::new();
    for batch in batches {
        messages.extend(divide(Parked {
            // The forwarder's rules route the log events again.
            destination: forwarder::DEFAULT_DESTINATION.to_owned(),
            stream: None,
            items: batch.events.len(),
            oldest_unix_nano: 0,
            newest_unix_nano: 0,
            first_seen_unix_nano: now,
            reason: reason.to_owned(),
            partial: false,
            log_events: LogEventRange::of(&batch.origin, &batch.events),
            content: Content::Events(batch),
        })?);
    }
    Ok(messages)
}

fn divide(parked: Parked) -> Result<Vec<Message>, Unreadable> {
    let (messages, too_large) = parked.into_messages(MAX_MESSAGE_BYTES);
    match too_large.first() {
        Some(large) => Err(Unreadable::TooLarge(large.to_string())),
        None => Ok(messages),
    }
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(MOST_REASON_CHARS).collect()
}

/// Selection of messages and records.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Filters {
    /// Only messages whose reason matches this regular expression: `503`, `answered (429|503)`.
    #[arg(long, value_name = "REGEX")]
    reason: Option<Regex>,
    /// Only requests for this destination.
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Also requests of which the backend accepted an unknown part. That part will be stored twice.
    #[arg(long)]
    partial: bool,
}

/// The reason why a letter stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    Reason,
    Destination,
    Partial,
}

impl Skip {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Reason => "another reason",
            Self::Destination => "another destination, or none",
            Self::Partial => "the backend has a part of it (--partial sends all of it)",
        }
    }
}

impl Filters {
    /// Returns the reason why the letter stays; `None` if it is to be sent.
    pub(crate) fn skip(&self, letter: &Letter) -> Option<Skip> {
        let Self { reason, destination, partial } = self;
        let has_destination = |wanted: &String| letter.destination() == Some(wanted);
        if reason.as_ref().is_some_and(|regex| !regex.is_match(&letter.reason)) {
            Some(Skip::Reason)
        } else if !destination.as_ref().is_none_or(has_destination) {
            Some(Skip::Destination)
        } else {
            (letter.is_partial() && !partial).then_some(Skip::Partial)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, SECOND, awslogs, log_request, noise, parked};
    use super::*;
    use forwarder::{LogBatch, LogEvent};
    use serde_json::json;

    const MAX: usize = MAX_MESSAGE_BYTES;

    fn event_ids(messages: &[Message]) -> Vec<String> {
        let mut ids = Vec::new();
        for message in messages {
            assert!(message.body.len() <= MAX, "{} bytes", message.body.len());
            let parked = Parked::from_body(&message.body).unwrap();
            let Content::Events(batch) = parked.content else { panic!("{:?}", parked.content) };
            assert_eq!(parked.items, batch.events.len());
            assert_eq!(batch.origin.log_group, "/aws/lambda/orders");
            ids.extend(batch.events.into_iter().map(|event| event.id));
        }
        ids
    }

    fn record(payload: &serde_json::Value) -> Vec<u8> {
        json!({
            "version": "1.0",
            "timestamp": "2026-09-21T14:13:20.000Z",
            "requestContext": { "condition": "RetriesExhausted", "approximateInvokeCount": 3 },
            "requestPayload": payload,
            "responsePayload": { "errorMessage": "LAMBDA_OTLP_ENDPOINT: not set\nsecond line" },
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn a_small_record_is_redriven_as_its_original_event() {
        let event = awslogs(3, 10);
        let letter = Letter::from_record(&record(&event)).unwrap();
        assert_eq!(letter.reason, "RetriesExhausted: LAMBDA_OTLP_ENDPOINT: not set");
        let messages = letter.into_messages(NOW).unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&messages[0].body).unwrap(), event);
    }

    #[test]
    fn a_large_record_is_split_with_log_events_in_order() {
        let letter = Letter::from_record(&record(&awslogs(130, 8000))).unwrap();
        let messages = letter.into_messages(NOW).unwrap();
        assert!(messages.len() > 1);
        let expected: Vec<String> = (0..130).map(|id| id.to_string()).collect();
        assert_eq!(event_ids(&messages), expected);
    }

    #[test]
    fn a_kinesis_record_keeps_its_payload() {
        let awslogs = awslogs(2, 10);
        let event = json!({ "Records": [{
            "eventSource": "aws:kinesis",
            "kinesis": { "sequenceNumber": "1", "data": awslogs["awslogs"]["data"] },
        }]});
        let record = json!({ "KinesisBatchInfo": {}, "payload": event.to_string() }).to_string();
        let messages = Letter::from_record(record.as_bytes()).unwrap().into_messages(NOW).unwrap();
        assert_eq!(messages[0].body, event.to_string());
    }

    #[test]
    fn an_unsupported_record_is_described_in_the_error() {
        let check = |json: &str, expected: &str| {
            let error = Letter::from_record(json.as_bytes()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{expected}: the redrive function cannot process it")
            );
        };
        check("", "not a record of a failed invocation");
        check("[]", "not a record of a failed invocation");
        check("{}", "not a record of a failed invocation");
        check(r#"{"requestPayload":{"orderId":7}}"#, "an event with the keys orderId");
        check(r#"{"requestPayload":7}"#, "the event is not a JSON object");
        check(r#"{"payload":"x"}"#, "no event");
    }

    #[test]
    fn a_log_event_larger_than_a_message_is_rejected() {
        let events =
            vec![LogEvent { id: "1".into(), timestamp_ms: 1, message: noise(1_100_000, 1) }];
        let batch = LogBatch { events, ..LogBatch::default() };
        let body = Parked { content: Content::Events(batch), ..parked("x", NOW) };
        assert!(matches!(divide(body), Err(Unreadable::TooLarge(_))));
    }

    #[test]
    fn a_redriven_request_restarts_its_retry_period() {
        let before = Parked { partial: true, items: 1, ..parked("answered 503", NOW - SECOND) };
        let (message, _) = before.clone().into_messages(MAX);
        let letter = Letter::from_message(&message[0].body).unwrap();
        assert!(letter.is_partial());
        let messages = letter.into_messages(NOW).unwrap();
        let after = Parked::from_body(&messages[0].body).unwrap();
        let all = log_request().items();
        let expected = Parked { first_seen_unix_nano: NOW, partial: false, items: all, ..before };
        assert!(after == expected, "{after:?}");
    }

    #[test]
    fn a_raw_body_is_decoded_again_when_redriven() {
        let raw = |bytes: Vec<u8>| {
            let parked =
                Parked { content: Content::Raw(bytes), items: 1, ..parked("too new", NOW) };
            parked.into_messages(MAX).0.remove(0).body
        };
        let inner = parked("x", NOW).into_messages(MAX).0.remove(0).body;
        let letter = Letter::from_message(&raw(inner.into_bytes())).unwrap();
        assert_eq!((letter.reason.as_str(), letter.items()), ("too new", 2));
        for bytes in [b"hello".to_vec(), vec![0xff, 0xfe]] {
            let error = Letter::from_message(&raw(bytes)).unwrap_err();
            assert_eq!(error, Unreadable::Raw("too new".to_owned()));
        }
        assert!(matches!(Letter::from_message("hello"), Err(Unreadable::Parked(_))));
    }
}
