//! Divides parked content into messages that fit into a queue.

use super::encoding;
use super::{Content, Parked};
use std::fmt;

/// Size limit of a message. SQS accepts 1 MiB (Amazon SQS Developer Guide, "Message quotas"); the difference leaves room for a
/// wrapper.
pub const MAX_MESSAGE_BYTES: usize = 900 * 1024;

/// Each cut repeats the resource, scope and metric of the items around it. All cuts of a request may repeat this many times its
/// size.
const MOST_GROWTH: usize = 4;

/// If a single item does not fit, its values are truncated to the first of these lengths that makes it fit.
const CUT_VALUE_BYTES: [usize; 5] = [512 * 1024, 128 * 1024, 16 * 1024, 1024, 128];

#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub body: String,
    pub items: usize,
}

impl fmt::Debug for Message {
    /// Shows sizes only, because the content is telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} items, {} bytes)", self.items, self.body.len())
    }
}

/// Content that is too large for a message and cannot be divided.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of {} items has {encoded_bytes} bytes as a message, more than the limit of {max_bytes}",
    parked.content.name(), parked.items
)]
pub struct TooLargeForQueue {
    pub parked: Box<Parked>,
    /// Its size as one message, or its inflated size if that exceeds the limit for reading.
    pub encoded_bytes: usize,
    pub max_bytes: usize,
}

impl Parked {
    /// Encodes the content into messages of at most `max_bytes`, divided between items or log events. The items of all messages
    /// and of oversized parts add up to `items`. Each message is readable by [`from_body`](Self::from_body).
    pub fn into_messages(self, max_bytes: usize) -> (Vec<Message>, Vec<TooLargeForQueue>) {
        let mut divided = Divided { max_bytes, ..Divided::default() };
        divided.spare_bytes = MOST_GROWTH.saturating_mul(self.content_bytes());
        divided.add(self);
        (divided.messages, divided.too_large)
    }

    /// Decodes a message written by [`into_messages`](Self::into_messages) of this version or a later one.
    pub fn from_body(body: &str) -> Result<Self, encoding::NotParked> {
        encoding::decode(body)
    }
}

#[derive(Default)]
struct Divided {
    max_bytes: usize,
    /// Bytes that further cuts may repeat.
    spare_bytes: usize,
    messages: Vec<Message>,
    too_large: Vec<TooLargeForQueue>,
}

impl Divided {
    fn add(&mut self, parked: Parked) {
        let mut waiting = vec![parked];
        while let Some(parked) = waiting.pop() {
            let encoded_bytes = match encoding::encode(&parked) {
                Ok(body) if body.len() <= self.max_bytes => {
                    self.messages.push(Message { body, items: parked.items });
                    continue;
                }
                Ok(body) => body.len(),
                Err(bytes) => bytes,
            };
            // Dividing the content does not help if the fields around it are too large.
            let can_be_divided = parked.units() > 1
                && self.spare_bytes > 0
                && encoding::frame_bytes(&parked) <= self.max_bytes / 2;
            if can_be_divided {
                let (whole_bytes, half) = (parked.content_bytes(), parked.units().div_ceil(2));
                let (first, second) = parked.cut(half);
                let cut_bytes = first.content_bytes() + second.content_bytes();
                let repeated_bytes = cut_bytes.saturating_sub(whole_bytes);
                self.spare_bytes = self.spare_bytes.saturating_sub(repeated_bytes);
                waiting.extend([second, first]);
            } else if let Some(message) = self.cut_to_fit(&parked) {
                self.messages.push(message);
            } else {
                let (parked, max_bytes) = (Box::new(parked), self.max_bytes);
                self.too_large.push(TooLargeForQueue { parked, encoded_bytes, max_bytes });
            }
        }
    }

    /// Truncates the longest values of a single item that is larger than a message. Otherwise its event would return again and
    /// again, with all its neighbours. Returns `None` if that does not help.
    fn cut_to_fit(&self, parked: &Parked) -> Option<Message> {
        let Content::Request(request) = &parked.content else { return None };
        if request.items() != 1 {
            return None;
        }
        CUT_VALUE_BYTES.into_iter().find_map(|value_bytes| {
            let (request, cut) = request.with_values_cut(value_bytes);
            let reason = format!(
                "{}; {cut} values were cut to {value_bytes} bytes to fit a message",
                parked.reason
            );
            let cut_parked =
                Parked { content: Content::Request(request), reason, ..parked.clone() };
            let body = encoding::encode(&cut_parked).ok()?;
            let fits = cut > 0 && body.len() <= self.max_bytes;
            fits.then(|| {
                tracing::warn!(
                    item_bytes = parked.content_bytes(),
                    values = cut,
                    value_bytes,
                    "a single item is larger than a message, its longest values are truncated"
                );
                Message { body, items: parked.items }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ingest_window::time_range;
    use crate::queues::Content;
    use crate::source::{LogBatch, LogEvent, LogEventRange};
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use proptest::prelude::*;
    use wire::Request;
    use wire::{Limits, Logs, SignalKind};

    /// Text that does not compress.
    fn noise(bytes: usize, seed: u64) -> String {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(33 + u8::try_from(state % 94).unwrap())
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn log_records(bodies: Vec<String>, resource_bytes: usize) -> Request {
        let text = |text: String| AnyValue { value: Some(any_value::Value::StringValue(text)) };
        let records = bodies.into_iter().enumerate().map(|(at, body)| LogRecord {
            time_unix_nano: 1_790_000_000_000_000_000 + at as u64,
            body: Some(text(body)),
            ..LogRecord::default()
        });
        let attribute = KeyValue {
            key: "big".to_owned(),
            value: Some(text(noise(resource_bytes, 7))),
            ..KeyValue::default()
        };
        let resource = Resource { attributes: vec![attribute], ..Resource::default() };
        Request::of_log_records(resource, records.collect())
    }

    fn bodies(request: &Request) -> Vec<String> {
        let decoded = request.decode::<Logs>().unwrap().unwrap();
        let scopes = decoded.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        let records = scopes.flat_map(|scope| scope.log_records);
        let body = |record: LogRecord| match record.body.unwrap().value.unwrap() {
            any_value::Value::StringValue(text) => text,
            other => panic!("{other:?}"),
        };
        records.map(body).collect()
    }

    fn batch(messages: Vec<String>) -> LogBatch {
        let event = |(at, message): (usize, String)| LogEvent {
            id: at.to_string(),
            timestamp_ms: 1_790_000_000_000 + i64::try_from(at).unwrap(),
            message,
        };
        let events = messages.into_iter().enumerate().map(event).collect();
        LogBatch { events, ..LogBatch::default() }
    }

    fn parked(content: Content) -> Parked {
        let (reason, log_events) = ("answered 503".to_owned(), LogEventRange::default());
        let parked = Parked::new("default", content, 0, reason, &log_events, 1);
        Parked { items: parked.units(), stream: Some("orders".to_owned()), ..parked }
    }

    /// Decodes the messages, and checks their sizes and the sum of their items.
    #[track_caller]
    fn read_back(original: &Parked, max_bytes: usize) -> (Vec<Parked>, Vec<TooLargeForQueue>) {
        let (messages, too_large) = original.clone().into_messages(max_bytes);
        let sent: usize = messages.iter().map(|message| message.items).sum();
        let kept: usize = too_large.iter().map(|too_large| too_large.parked.items).sum();
        assert_eq!(sent + kept, original.items);
        let read = messages.iter().map(|message| {
            assert!(message.body.len() <= max_bytes, "{} bytes", message.body.len());
            let parked = Parked::from_body(&message.body).unwrap();
            assert_eq!(parked.items, message.items);
            assert_eq!(parked.partial, original.partial);
            let range = match &parked.content {
                Content::Request(request) => time_range(request),
                Content::Events(batch) => {
                    let ends = (batch.events.first().unwrap(), batch.events.last().unwrap());
                    Some((
                        ends.0.timestamp_ms as u64 * 1_000_000,
                        ends.1.timestamp_ms as u64 * 1_000_000,
                    ))
                }
                _ => None,
            };
            let times = (parked.oldest_unix_nano, parked.newest_unix_nano);
            assert!(range.is_none_or(|range| range == times));
            parked
        });
        (read.collect(), too_large)
    }

    #[test]
    fn splitting_limits_the_copies_of_a_large_resource() {
        let lines = (0..2000).map(|at| at.to_string()).collect();
        let original = parked(Content::Request(log_records(lines, 100_000)));
        let whole_bytes = original.content_bytes();
        let (read, too_large) = read_back(&original, 50_000);
        assert!(read.is_empty());
        let kept: usize = too_large.iter().map(|too_large| too_large.parked.content_bytes()).sum();
        assert!(kept <= (MOST_GROWTH + 2) * whole_bytes, "{kept} bytes of {whole_bytes}");
    }

    #[test]
    fn a_request_above_the_item_limit_is_split() {
        // Two bytes each, far below the size limit of a message.
        let limits = Limits { items: usize::MAX, messages: usize::MAX, ..Limits::default() };
        let records = [0x12, 0x00].repeat(120_000);
        let mut scope = Vec::new();
        wire::protobuf::Writer::new(&mut scope).message(2, |out| out.raw(&records));
        let mut bytes = Vec::new();
        wire::protobuf::Writer::new(&mut bytes).message(1, |out| out.raw(&scope));
        let request = Request::check(SignalKind::Logs, bytes, &limits).unwrap();
        assert_eq!(request.items(), 120_000);
        let (read, too_large) = read_back(&parked(Content::Request(request)), MAX_MESSAGE_BYTES);
        assert!(too_large.is_empty());
        assert!((3..=4).contains(&read.len()), "{} messages", read.len());
    }

    #[test]
    fn a_long_reason_is_truncated_and_encoded_in_allowed_characters() {
        let original = Parked {
            reason: "\u{fffe}\u{ffff}\u{0}\u{7f}\r\n".repeat(1000),
            ..parked(Content::Raw(vec![1]))
        };
        let (messages, _) = original.clone().into_messages(MAX_MESSAGE_BYTES);
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(messages[0].body.chars().all(allowed));
        let read = Parked::from_body(&messages[0].body).unwrap();
        assert_eq!(read.reason.chars().count(), 1000);
        assert!(original.reason.starts_with(&read.reason));
    }

    #[test]
    fn debug_output_shows_only_sizes() {
        let original = parked(Content::Events(batch(vec!["secret".to_owned()])));
        let shown = format!("{original:?} {:?}", original.clone().into_messages(1000));
        assert!(
            shown.starts_with("Parked(1 items, Events(1, 6 bytes)) ([Message(1 items, "),
            "{shown}"
        );
        assert!(!shown.contains("orders") && !shown.contains("secret"), "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn splitting_loses_no_item_at_any_message_size(
            sizes in prop::collection::vec(0usize..1500, 1..20),
            resource_bytes in 0usize..1000,
            max_bytes in 0usize..4000,
            seed in any::<u64>(),
            partial in any::<bool>(),
        ) {
            let lines: Vec<String> =
                sizes.iter().zip(seed..=u64::MAX).map(|(size, seed)| noise(*size, seed)).collect();
            for content in [
                Content::Request(log_records(lines.clone(), resource_bytes)),
                Content::Events(batch(lines.clone())),
            ] {
                let original = Parked { partial, ..parked(content) };
                // The backend rejected one item of a partial request.
                let items = if partial { 1 } else { original.items };
                let (read, too_large) = read_back(&Parked { items, ..original }, max_bytes);
                let mut found: Vec<String> = Vec::new();
                let kept = too_large.into_iter().map(|too_large| *too_large.parked);
                for parked in read.into_iter().chain(kept) {
                    match parked.content {
                        Content::Request(request) => found.extend(bodies(&request)),
                        Content::Events(batch) => {
                            found.extend(batch.events.into_iter().map(|event| event.message));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                // The beginning of an oversized record is kept, with the size of the missing part.
                let mut missing = lines.clone();
                for text in found {
                    let kept = text.split_once("…[").map_or(text.as_str(), |(kept, _)| kept);
                    let at = missing.iter().position(|line| {
                        *line == text || (kept != text && line.starts_with(kept))
                    });
                    prop_assert!(at.is_some(), "{text:?} is nobody's");
                    missing.swap_remove(at.unwrap());
                }
                prop_assert!(missing.is_empty(), "{missing:?}");
            }
        }
    }
}
