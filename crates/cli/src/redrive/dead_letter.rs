//! Reads letters: messages of the dead-letter queue, and Lambda's records of failed invocations.

use anyhow::{Context as _, bail};
use backend::Fate;
use console::waterfall::draw::short;
use forwarder::{
    Content, Event, LogEventRange, MAX_MESSAGE_BYTES, Message, QueueMessage, QueuedTelemetry,
    SourceLimits,
};
use regex::Regex;
use serde::Deserialize;
use serde_json::value::RawValue;

const MAX_REASON_CHARS: usize = 200;

/// Telemetry that can be sent again.
pub(crate) struct DeadLetter {
    content: LetterContent,
    pub(crate) reason: String,
    pub(crate) items: usize,
    /// The backend has a part of it, which would be stored twice.
    is_partial: bool,
}

enum LetterContent {
    Queued(Box<QueuedTelemetry>),
    /// The event of an invocation.
    Event {
        text: Box<str>,
        event: Event,
    },
}

impl DeadLetter {
    pub(crate) fn from_message(body: &str) -> anyhow::Result<Self> {
        let not_queued = match QueuedTelemetry::from_body(body) {
            Ok(QueuedTelemetry { content: Content::Raw(bytes), reason, .. }) => {
                return Self::from_stored_message(bytes, &reason);
            }
            Ok(queued) => return Ok(Self::from_queued(queued)),
            Err(not_queued) => not_queued,
        };
        if let Ok(letter) = Self::from_record(body.as_bytes()) {
            return Ok(letter);
        }
        let json = serde_json::json!({ "messageId": "", "receiptHandle": "", "body": body });
        let message: QueueMessage = serde_json::from_value(json)?;
        let Some(event) = message.event() else { bail!(not_queued) };
        Ok(Self::from_event(body, event, "an event without a reason"))
    }

    /// Reads a message that an older forwarder could not read, and stored unchanged.
    fn from_stored_message(bytes: Vec<u8>, why_stored: &str) -> anyhow::Result<Self> {
        let reason = short(why_stored, MAX_REASON_CHARS);
        let unreadable = || format!("invalid bytes ({reason})");
        let body = String::from_utf8(bytes).with_context(unreadable)?;
        let letter = Self::from_message(&body).with_context(unreadable)?;
        Ok(Self { reason, ..letter })
    }

    /// A partly accepted request is sent as a whole, and no longer counts as partial.
    fn from_queued(queued: QueuedTelemetry) -> Self {
        let items = match &queued.content {
            Content::Request(request) => request.items(),
            _ => queued.items,
        };
        let is_partial = queued.fate == Fate::DeadLetterPartial;
        let reason = short(&queued.reason, MAX_REASON_CHARS);
        let content =
            LetterContent::Queued(Box::new(QueuedTelemetry { fate: Fate::Park, items, ..queued }));
        Self { content, reason, items, is_partial }
    }

    fn from_event(text: &str, event: Event, reason: &str) -> Self {
        let content = LetterContent::Event { text: text.into(), event };
        Self { content, reason: short(reason, MAX_REASON_CHARS), items: 1, is_partial: false }
    }

    /// Reads Lambda's record of a failed invocation from its on-failure destination.
    ///
    /// Source: Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" (`requestPayload`) and
    /// "Retain discarded batches" of Kinesis (`payload`, the event as text).
    pub(crate) fn from_record(json: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OnFailureRecord<'a> {
            #[serde(borrow)]
            request_payload: Option<&'a RawValue>,
            payload: Option<String>,
            #[serde(default)]
            request_context: RequestContext,
            response_payload: Option<ErrorObject>,
        }
        #[derive(Default, Deserialize)]
        struct RequestContext {
            #[serde(default)]
            condition: String,
        }
        #[derive(Deserialize)]
        struct ErrorObject {
            #[serde(rename = "errorMessage", default)]
            error_message: String,
        }
        let record: OnFailureRecord<'_> =
            serde_json::from_slice(json).context("not a record of a failed invocation")?;
        let text = record
            .request_payload
            .map(RawValue::get)
            .or(record.payload.as_deref())
            .context("not a record of a failed invocation")?;
        let Ok(event @ (Event::CloudWatchLogs(_) | Event::Kinesis(_))) = serde_json::from_str(text)
        else {
            bail!("its event has no log events, so the redrive function cannot process it")
        };
        let error = record.response_payload.map(|error| error.error_message).unwrap_or_default();
        let reason = format!("{}: {error}", record.request_context.condition);
        Ok(Self::from_event(text, event, reason.trim_matches([':', ' '])))
    }

    /// Converts the letter to messages for the retry queue.
    ///
    /// A queued request starts over. `first_seen` becomes the present time, because the redrive function derives from
    /// it when the queue will delete the message. The times of the records, the origin and the reason stay.
    pub(crate) fn into_messages(self, now_unix_nano: u64) -> anyhow::Result<Vec<Message>> {
        match self.content {
            LetterContent::Queued(queued) => {
                divide(QueuedTelemetry { first_seen_unix_nano: now_unix_nano, ..*queued })
            }
            LetterContent::Event { text, .. } if text.len() <= MAX_MESSAGE_BYTES => {
                Ok(vec![Message::new(text.into(), 1)])
            }
            LetterContent::Event { event, .. } => split_event(&event, &self.reason, now_unix_nano),
        }
    }
}

/// Splits an event that is larger than a message into its log events.
fn split_event(event: &Event, reason: &str, now_unix_nano: u64) -> anyhow::Result<Vec<Message>> {
    let mut messages = Vec::new();
    for batch in event.batches(&SourceLimits::default()) {
        let batch = batch.context("cannot read its log events")?;
        messages.extend(divide(QueuedTelemetry {
            // The forwarder's rules route the log events again.
            destination: forwarder::DEFAULT_DESTINATION.to_owned(),
            stream: None,
            items: batch.events.len(),
            oldest_unix_nano: None,
            newest_unix_nano: None,
            first_seen_unix_nano: now_unix_nano,
            reason: reason.to_owned(),
            fate: Fate::Park,
            is_in_log_group: false,
            log_events: LogEventRange::of(&batch.origin, &batch.events),
            content: Content::Events(batch),
        })?);
    }
    Ok(messages)
}

/// Divides a request or log events into messages, without shortening any content: a shortened OTLP line could not be decoded.
fn divide(queued: QueuedTelemetry) -> anyhow::Result<Vec<Message>> {
    queued.into_whole_messages(MAX_MESSAGE_BYTES).context("a part is too large for a message")
}

/// Selection of messages and records.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct LetterFilters {
    /// Only messages whose reason matches this regular expression: `503`, `answered (429|503)`.
    #[arg(long, value_name = "REGEX")]
    reason: Option<Regex>,
    /// Also send requests that the backend accepted in part, without saying which. That part is stored twice.
    #[arg(long)]
    partial: bool,
}

impl LetterFilters {
    /// Returns the reason why the letter stays; `None` if it is to be sent.
    pub(crate) fn reason_to_skip(&self, letter: &DeadLetter) -> Option<&'static str> {
        if self.reason.as_ref().is_some_and(|regex| !regex.is_match(&letter.reason)) {
            return Some("another reason");
        }
        if letter.is_partial && !self.partial {
            return Some("the backend has a part of it (--partial sends all of it)");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, SECOND, awslogs, log_request, noise, queued};
    use super::*;
    use forwarder::{LogBatch, LogEvent};
    use serde_json::json;

    const MAX: usize = MAX_MESSAGE_BYTES;

    fn event_ids(messages: &[Message]) -> Vec<String> {
        let mut ids = Vec::new();
        for message in messages {
            assert!(message.body.len() <= MAX, "{} bytes", message.body.len());
            let queued = QueuedTelemetry::from_body(&message.body).unwrap();
            let Content::Events(batch) = queued.content else { panic!("{:?}", queued.content) };
            assert_eq!(queued.items, batch.events.len());
            assert_eq!(batch.origin.log_group, "/aws/lambda/orders");
            ids.extend(batch.events.into_iter().map(|event| event.id));
        }
        ids
    }

    #[test]
    fn a_large_record_is_split_with_log_events_in_order() {
        let record = json!({
            "requestContext": { "condition": "RetriesExhausted" },
            "requestPayload": awslogs(130, 8000),
            "responsePayload": { "errorMessage": "LAMBDA_OTLP_ENDPOINT: not set\nsecond line" },
        });
        let letter = DeadLetter::from_record(record.to_string().as_bytes()).unwrap();
        assert_eq!(letter.reason, "RetriesExhausted: LAMBDA_OTLP_ENDPOINT: not set");
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
        let messages =
            DeadLetter::from_record(record.as_bytes()).unwrap().into_messages(NOW).unwrap();
        assert_eq!(messages[0].body, event.to_string());
    }

    #[test]
    fn a_log_event_larger_than_a_message_is_rejected() {
        let events =
            vec![LogEvent { id: "1".into(), timestamp_ms: 1, message: noise(1_100_000, 1) }];
        let batch = LogBatch { events, ..LogBatch::default() };
        let body = QueuedTelemetry { content: Content::Events(batch), ..queued("x", NOW) };
        assert!(divide(body).is_err());
    }

    #[test]
    fn a_redriven_request_restarts_its_retry_period() {
        let before = QueuedTelemetry {
            fate: Fate::DeadLetterPartial,
            items: 1,
            ..queued("answered 503", NOW - SECOND)
        };
        let message = before.clone().into_messages(MAX);
        let letter = DeadLetter::from_message(&message[0].body).unwrap();
        assert!(letter.is_partial);
        let messages = letter.into_messages(NOW).unwrap();
        let after = QueuedTelemetry::from_body(&messages[0].body).unwrap();
        let all = log_request().items();
        let expected =
            QueuedTelemetry { first_seen_unix_nano: NOW, fate: Fate::Park, items: all, ..before };
        assert!(after == expected, "{after:?}");
    }
}
