//! Reads what waits to be sent again: a message of the dead-letter queue, or Lambda's record of a failed invocation.

use forwarder::{
    Content, Event, LogEventRange, MAX_MESSAGE_BYTES, Message, NotParked, Parked, QueueBody,
    QueueMessage, SourceLimits,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;
use wire::SignalKind;

/// Longest reason that is told apart from others.
const MOST_REASON_CHARS: usize = 200;

/// Something that can be sent again.
pub(crate) struct Letter {
    content: LetterContent,
    /// Why it was not delivered.
    pub(crate) reason: String,
    /// When the forwarder first had it, in nanoseconds since the Unix epoch; 0 where that is not known.
    pub(crate) first_seen_unix_nano: u64,
}

enum LetterContent {
    Parked(Box<Parked>),
    /// The event of an invocation, as text and read.
    Event(Box<str>, Event),
}

/// Why something cannot be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Parked(#[from] NotParked),
    #[error("{0}: nothing that the redrive function takes")]
    Event(String),
    #[error("its log events cannot be read: {0}")]
    LogEvents(String),
    #[error("bytes that nobody could read ({0})")]
    Raw(String),
    #[error("a part is too large for a message: {0}")]
    TooLarge(String),
}

impl fmt::Debug for Letter {
    /// Leaves the content out, which is a customer's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({})", self.reason)
    }
}

impl Letter {
    /// Reads the body of a message.
    pub(crate) fn from_message(body: &str) -> Result<Self, Unreadable> {
        match Parked::from_body(body) {
            Ok(Parked { content: Content::Raw(bytes), reason, .. }) => {
                Self::from_raw(bytes, &reason)
            }
            Ok(parked) => Ok(Self {
                reason: short(&parked.reason),
                first_seen_unix_nano: parked.first_seen_unix_nano,
                content: LetterContent::Parked(Box::new(parked)),
            }),
            Err(not_parked) => Self::from_event(body).ok_or(Unreadable::Parked(not_parked)),
        }
    }

    /// Reads the body of a message that one version of the forwarder could not read and kept as it was; another version may.
    fn from_raw(bytes: Vec<u8>, reason: &str) -> Result<Self, Unreadable> {
        let unreadable = Unreadable::Raw(short(reason));
        let body = String::from_utf8(bytes).map_err(|_| unreadable.clone())?;
        match Parked::from_body(&body) {
            Ok(Parked { content: Content::Raw(_), .. }) => Err(unreadable),
            Ok(parked) => {
                let first_seen_unix_nano = parked.first_seen_unix_nano;
                let content = LetterContent::Parked(Box::new(parked));
                Ok(Self { content, reason: short(reason), first_seen_unix_nano })
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
        Some(Self {
            content,
            reason: "an event without a reason".to_owned(),
            first_seen_unix_nano: 0,
        })
    }

    /// Reads Lambda's record of a failed invocation, as its on-failure destination keeps it.
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
        let other = || Unreadable::Event("no record of a failed invocation".to_owned());
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
        Ok(Self {
            content: LetterContent::Event(text.into(), event),
            reason,
            first_seen_unix_nano: 0,
        })
    }

    /// The same, first seen at this time where it does not say when.
    pub(crate) fn or_first_seen(mut self, unix_nano: u64) -> Self {
        if self.first_seen_unix_nano == 0 {
            self.first_seen_unix_nano = unix_nano;
        }
        self
    }

    /// Name of the destination; `None` where the forwarder's rules will say.
    pub(crate) fn destination(&self) -> Option<&str> {
        match &self.content {
            LetterContent::Parked(parked) => match &parked.content {
                Content::Request(_) => Some(&parked.destination),
                _ => None,
            },
            LetterContent::Event(..) => None,
        }
    }

    /// The signal; `None` for what was not converted to a request yet.
    pub(crate) fn signal(&self) -> Option<SignalKind> {
        match &self.content {
            LetterContent::Parked(parked) => match &parked.content {
                Content::Request(request) => Some(request.kind()),
                _ => None,
            },
            LetterContent::Event(..) => None,
        }
    }

    /// The log group that it came from; `None` where it does not say.
    pub(crate) fn log_group(&self) -> Option<String> {
        let named = |group: &str| (!group.is_empty()).then(|| group.to_owned());
        match &self.content {
            LetterContent::Parked(parked) => named(&parked.log_events.origin.log_group),
            LetterContent::Event(_, event) => {
                let mut group = None;
                // What is wrong with it is said when it is sent.
                let _later = event.read(&SourceLimits::default(), &mut |batch| {
                    group = named(&batch.origin.log_group);
                    false
                });
                group
            }
        }
    }

    /// Whether the backend has it in part, so that sending it stores that part twice.
    pub(crate) fn is_partial(&self) -> bool {
        matches!(&self.content, LetterContent::Parked(parked) if parked.partial)
    }

    /// How many items it holds; where log events were not converted yet, how many log events.
    pub(crate) fn items(&self) -> usize {
        match &self.content {
            LetterContent::Parked(parked) => match &parked.content {
                Content::Request(request) => request.items(),
                _ => parked.items,
            },
            LetterContent::Event(..) => 1,
        }
    }

    /// Time of the oldest record of a request whose backend may have a window: logs and traces.
    pub(crate) fn oldest_in_window(&self) -> Option<u64> {
        match &self.content {
            LetterContent::Parked(parked)
                if self.signal().is_some_and(|s| s != SignalKind::Metrics) =>
            {
                Some(parked.oldest_unix_nano).filter(|oldest| *oldest > 0)
            }
            _ => None,
        }
    }

    /// The messages for the retry queue.
    ///
    /// A parked request starts over: `first_seen` becomes the present time, because the redrive function works out from it
    /// when the queue will forget the message, and that time starts over too. If the backend has a part of the request, all
    /// of it is sent again, so that it no longer counts as partial. The times of the records, the origin and the reason stay.
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

/// The log events of an event that is larger than a message.
fn log_events(event: &Event, reason: &str, now: u64) -> Result<Vec<Message>, Unreadable> {
    let mut batches = Vec::new();
    let read = event.read(&SourceLimits::default(), &mut |batch| {
        batches.push(batch);
        true
    });
    read.map_err(|error| Unreadable::LogEvents(error.to_string()))?;
    let mut messages = Vec::new();
    for batch in batches {
        messages.extend(divide(Parked {
            // Log events are routed as if they had just come.
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

/// One line, cut.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(MOST_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests;
