//! Encodes queued content as JSON and decodes it; `docs/guarantees.md` describes the format.

use super::{Content, QueuedTelemetry};
use crate::rules::{MAX_STREAM_BYTES, is_stream};
use crate::source::{LogBatch, LogEventRange, Origin, SourceLimits, read_json, without_content};
use backend::Fate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use wire::timestamp::{self, rfc3339_nanos};
use wire::view::count_written_items;
use wire::{Limits, Request, SignalKind};

/// Major and minor version. Minor versions only add fields.
const VERSION: &str = "1.0";
const MAJOR: &str = "1";

/// Fast, because the invocation's time is short. Higher levels save a few percent; SQS charges per 64 KiB.
const GZIP_LEVEL: u32 = 4;

const MAX_REASON_CHARS: usize = 1000;

/// Longest part of an origin. CloudWatch Logs allows 512 characters for a log group or log stream, but records of a Kinesis stream
/// may come from any producer.
const MAX_ORIGIN_BYTES: usize = 1024;

/// Longest name of a destination: that of a rules file.
const MAX_DESTINATION_BYTES: usize = 64 * 1024;

/// Size limit for reading. A message has at most 1 MiB, but the on-failure bucket may contain larger wrappers.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// The reason why a text is no readable queued message. It quotes no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotQueueMessage(String);

impl NotQueueMessage {
    /// Another JSON object, or no JSON.
    fn foreign(problem: &str) -> Self {
        Self(format!("not a queue message: {problem}"))
    }

    /// `kind` is the kind of content that the message names.
    fn unreadable(kind: &str, problem: &dyn fmt::Display) -> Self {
        Self(format!("queued {kind} cannot be read: {problem}"))
    }

    fn invalid_field(field: &str, problem: &str) -> Self {
        Self(format!("queue message with an invalid `{field}`: {problem}"))
    }
}

#[derive(Serialize, Deserialize)]
struct MessageText<'a> {
    #[serde(borrow)]
    v: Cow<'a, str>,
    content: Cow<'a, str>,
    destination: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<Cow<'a, str>>,
    items: usize,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oldest: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<Cow<'a, str>>,
    first_seen: Cow<'a, str>,
    #[serde(default)]
    reason: Cow<'a, str>,
    #[serde(default)]
    origin: Cow<'a, LogEventRange>,
    encoding: Cow<'a, str>,
    body: Cow<'a, str>,
}

/// Content that [`decode`] would not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLargeToRead {
    pub(super) inflated_bytes: usize,
}

/// Encodes a message.
pub(super) fn encode(queued: &QueuedTelemetry) -> Result<String, TooLargeToRead> {
    let bytes = content_bytes(&queued.content);
    if !is_readable(&queued.content, &bytes) {
        return Err(TooLargeToRead { inflated_bytes: bytes.len() });
    }
    let body = STANDARD.encode(wire::gzip::compress(GZIP_LEVEL, &bytes));
    Ok(frame(queued, &body))
}

/// Size of a message without its body.
pub(super) fn frame_bytes(queued: &QueuedTelemetry) -> usize {
    frame(queued, "").len()
}

fn frame(queued: &QueuedTelemetry, body: &str) -> String {
    // Named one by one, so that the compiler reports a missing field.
    let QueuedTelemetry {
        destination,
        stream,
        content,
        items,
        oldest_unix_nano,
        newest_unix_nano,
        first_seen_unix_nano,
        reason,
        fate,
        log_events,
        is_in_log_group: _,
    } = queued;
    let time = |nanos: Option<u64>| nanos.map(|nanos| rfc3339_nanos(nanos).into());
    let signal = match content {
        Content::Request(request) => Some(request.kind().as_str().into()),
        _ => None,
    };
    let text = MessageText {
        v: VERSION.into(),
        content: content.name().into(),
        destination: destination.into(),
        signal,
        stream: stream.as_deref().map(Cow::from),
        items: *items,
        partial: *fate == Fate::DeadLetterPartial,
        oldest: time(*oldest_unix_nano),
        newest: time(*newest_unix_nano),
        first_seen: rfc3339_nanos(*first_seen_unix_nano).into(),
        reason: reason.chars().take(MAX_REASON_CHARS).collect(),
        origin: shortened_range(log_events),
        encoding: "gzip".into(),
        body: body.into(),
    };
    // Text and numbers only: serializing cannot fail.
    let json = serde_json::to_string(&text).unwrap_or_default();
    // SQS rejects these two characters, and JSON does not escape them (API reference, SendMessage, `MessageBody`).
    if json.contains(['\u{fffe}', '\u{ffff}']) {
        return json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    }
    json
}

pub(super) fn content_bytes(content: &Content) -> Cow<'_, [u8]> {
    match content {
        Content::Request(request) => request.bytes().into(),
        Content::Events(batch) => events_json(batch).into(),
        // Text and numbers only: serializing cannot fail.
        Content::Execution(execution) => serde_json::to_vec(execution).unwrap_or_default().into(),
        Content::Raw(bytes) => bytes.into(),
    }
}

/// Returns `true` if [`decode`] accepts the content. A merged request may exceed the item limit of a line.
fn is_readable(content: &Content, bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let Content::Request(request) = content else { return bytes.len() <= limits.inflated_bytes };
    // A protobuf message has at least two bytes.
    let is_small = bytes.len() / 2 <= limits.messages.min(limits.items);
    is_small
        || bytes.len() <= limits.inflated_bytes
            && Request::check(request.kind(), bytes.to_vec(), &limits).is_ok()
}

/// Decodes a message of this major version. Ignores unknown fields.
pub(super) fn decode(body: &str) -> Result<QueuedTelemetry, NotQueueMessage> {
    if body.len() > MAX_BODY_BYTES {
        return Err(NotQueueMessage::foreign(&format!("{} bytes", body.len())));
    }
    let version = version(body)?;
    if version.split('.').next() != Some(MAJOR) {
        return Err(NotQueueMessage(format!(
            "queue message of version {version}, but this forwarder reads version 1: update the forwarder"
        )));
    }
    let text: MessageText<'_> = serde_json::from_str(body).map_err(|error| {
        NotQueueMessage(format!("queue message cannot be read: {}", without_content(&error)))
    })?;
    if text.encoding != "gzip" {
        return Err(NotQueueMessage::invalid_field(
            "encoding",
            &format!("{}, expected gzip", excerpt(&text.encoding)),
        ));
    }
    if text.destination.len() > MAX_DESTINATION_BYTES {
        return Err(NotQueueMessage::invalid_field(
            "destination",
            &format!("{} bytes", text.destination.len()),
        ));
    }
    // The client would send it to the default stream.
    if text.stream.as_deref().is_some_and(|stream| !is_stream(stream)) {
        let expected = format!("expected 1 to {MAX_STREAM_BYTES} visible ASCII characters");
        return Err(NotQueueMessage::invalid_field("stream", &expected));
    }
    let time_if_set = |field, text: &Option<Cow<'_, str>>| {
        text.as_deref().map(|text| read_time(field, text)).transpose()
    };
    let oldest_unix_nano = time_if_set("oldest", &text.oldest)?;
    let newest_unix_nano = time_if_set("newest", &text.newest)?;
    let first_seen_unix_nano = read_time("first_seen", &text.first_seen)?;
    let ReadContent { content, written_items } = read_content(&text)?;
    check_items(&text, written_items)?;
    let items = match &content {
        // An earlier version counted data points that other readers don't see, because another kind of data replaces them.
        Content::Request(request) => text.items.min(request.items()),
        Content::Events(_) | Content::Execution(_) | Content::Raw(_) => text.items,
    };
    Ok(QueuedTelemetry {
        destination: text.destination.into_owned(),
        stream: text.stream.map(Cow::into_owned),
        content,
        items,
        oldest_unix_nano,
        newest_unix_nano,
        first_seen_unix_nano,
        reason: text.reason.into_owned(),
        fate: if text.partial { Fate::DeadLetterPartial } else { Fate::Park },
        log_events: text.origin.into_owned(),
        is_in_log_group: false,
    })
}

/// Reads the time of a field. This crate writes UTC, to the nanosecond. Another notation was edited by hand.
fn read_time(field: &str, time: &str) -> Result<u64, NotQueueMessage> {
    let is_ours = time.ends_with('Z') && time.len() <= "2026-09-21T14:13:20.123456789Z".len();
    let utc = timestamp::parse(time).filter(|_| is_ours);
    utc.ok_or_else(|| NotQueueMessage::invalid_field(field, "expected 2026-09-21T14:13:20Z"))
}

/// Reads the version, which all versions write in the same place.
fn version(body: &str) -> Result<String, NotQueueMessage> {
    #[derive(Deserialize)]
    struct VersionedHead<'a> {
        #[serde(borrow)]
        v: Cow<'a, str>,
        #[serde(borrow)]
        #[expect(dead_code, reason = "says that the message is one of ours")]
        destination: Cow<'a, str>,
    }
    let head: VersionedHead<'_> = serde_json::from_str(body)
        .map_err(|error| NotQueueMessage::foreign(&without_content(&error)))?;
    Ok(excerpt(&head.v))
}

struct ReadContent {
    content: Content,
    /// Number of items of a request, as it was written.
    written_items: Option<usize>,
}

impl ReadContent {
    fn uncounted(content: Content) -> Self {
        Self { content, written_items: None }
    }
}

fn read_content(text: &MessageText<'_>) -> Result<ReadContent, NotQueueMessage> {
    let name = excerpt(&text.content);
    let limits = Limits::default();
    let gzip = STANDARD
        .decode(text.body.as_bytes())
        .map_err(|error| NotQueueMessage::unreadable(&name, &error))?;
    let bytes = wire::gzip::inflate(&gzip, limits.inflated_bytes)
        .map_err(|error| NotQueueMessage::unreadable(&name, &error))?;
    match name.as_str() {
        "request" => {
            let named = text.signal.as_deref().unwrap_or_default();
            let kind = SignalKind::ALL.into_iter().find(|kind| kind.as_str() == named).ok_or_else(
                || {
                    NotQueueMessage::invalid_field(
                        "signal",
                        &format!("{} is not known", excerpt(named)),
                    )
                },
            )?;
            let written_items = Some(count_written_items(kind, &bytes));
            let request = Request::check(kind, bytes, &limits)
                .map_err(|error| NotQueueMessage::unreadable(&name, &error))?;
            Ok(ReadContent { content: Content::Request(request), written_items })
        }
        "events" => log_batch(&name, bytes).map(Content::Events).map(ReadContent::uncounted),
        "execution" => serde_json::from_slice(&bytes)
            .map(|execution| ReadContent::uncounted(Content::Execution(execution)))
            .map_err(|error| NotQueueMessage::unreadable(&name, &without_content(&error))),
        "raw" => Ok(ReadContent::uncounted(Content::Raw(bytes))),
        other => Err(NotQueueMessage::invalid_field("content", &format!("{other} is not known"))),
    }
}

/// A message that claims other items than it contains would unbalance the accounting.
fn check_items(text: &MessageText<'_>, written: Option<usize>) -> Result<(), NotQueueMessage> {
    let Some(actual) = written else { return Ok(()) };
    let MessageText { items, partial, .. } = *text;
    if items == actual || (partial && items <= actual) {
        return Ok(());
    }
    Err(NotQueueMessage::invalid_field("items", &format!("{items}, the request has {actual}")))
}

/// A word of the message that is safe to show.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(20).collect()
}

/// A delivery of CloudWatch Logs: `{"awslogs":{"data": body}}` is an event for the forwarder.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventsText<'a> {
    message_type: &'static str,
    owner: &'a str,
    log_group: &'a str,
    log_stream: &'a str,
    log_events: Vec<DeliveredEvent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveredEvent<'a> {
    id: &'a str,
    timestamp: i64,
    message: &'a str,
    /// The only place for a region in this format.
    #[serde(skip_serializing_if = "Option::is_none")]
    extracted_fields: Option<&'a BTreeMap<&'static str, &'a str>>,
}

/// Encodes log events without a copy of their messages.
fn events_json(batch: &LogBatch) -> Vec<u8> {
    let origin = shortened_origin(&batch.origin);
    let Origin { account, region, log_group, log_stream } = origin.as_ref();
    let fields = (!region.is_empty()).then(|| BTreeMap::from([("@aws.region", region.as_str())]));
    let events = batch.events.iter().map(|event| DeliveredEvent {
        id: &event.id,
        timestamp: event.timestamp_ms,
        message: &event.message,
        extracted_fields: fields.as_ref(),
    });
    let text = EventsText {
        message_type: if batch.is_control { "CONTROL_MESSAGE" } else { "DATA_MESSAGE" },
        owner: account,
        log_group,
        log_stream,
        log_events: events.collect(),
    };
    // Text and numbers only: serializing cannot fail.
    serde_json::to_vec(&text).unwrap_or_default()
}

/// The origin with parts of at most [`MAX_ORIGIN_BYTES`].
fn shortened_origin(origin: &Origin) -> Cow<'_, Origin> {
    let Origin { account, region, log_group, log_stream } = origin;
    let is_short = |part: &String| part.len() <= MAX_ORIGIN_BYTES;
    if [account, region, log_group, log_stream].into_iter().all(is_short) {
        return Cow::Borrowed(origin);
    }
    Cow::Owned(Origin::new(
        beginning(account),
        beginning(region),
        beginning(log_group),
        beginning(log_stream),
    ))
}

fn shortened_range(range: &LogEventRange) -> Cow<'_, LogEventRange> {
    let LogEventRange { first_event_id, last_event_id, .. } = range;
    let origin = shortened_origin(&range.origin);
    let is_short = |id: &String| id.len() <= MAX_ORIGIN_BYTES;
    if matches!(origin, Cow::Borrowed(_)) && is_short(first_event_id) && is_short(last_event_id) {
        return Cow::Borrowed(range);
    }
    Cow::Owned(LogEventRange {
        origin: origin.into_owned(),
        first_event_id: beginning(first_event_id).to_owned(),
        last_event_id: beginning(last_event_id).to_owned(),
    })
}

fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_ORIGIN_BYTES)).unwrap_or_default()
}

/// Reads log events of one origin, as from a subscription. `kind` is the kind of content that the message names.
fn log_batch(kind: &str, json: Vec<u8>) -> Result<LogBatch, NotQueueMessage> {
    // Without limits, everything is one batch.
    let limits = SourceLimits {
        batch_bytes: usize::MAX,
        unplaced_bytes: usize::MAX,
        ..SourceLimits::default()
    };
    let read = read_json("the content", json, Origin::default(), &limits);
    let mut batches = read
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| NotQueueMessage::unreadable(kind, &error))?;
    match batches.pop() {
        Some(batch) if batches.is_empty() => Ok(batch),
        _ => Err(NotQueueMessage::unreadable(kind, &"log events of several origins")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LogEvent;
    use serde_json::{Value, json};
    use wire::protobuf::Writer;

    /// A request with one scope.
    fn in_scope(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| container.message(2, write));
        bytes
    }

    /// The example of `docs/guarantees.md`.
    fn example() -> Value {
        let page = include_str!("../../../docs/guarantees.md");
        let (_, after) = page.split_once("```json\n").unwrap();
        let (json, _) = after.split_once("```").unwrap();
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_documented_example_round_trips() {
        let example = example();
        let queued = decode(&example.to_string()).unwrap();
        assert_eq!(queued.destination, "default");
        assert_eq!(queued.oldest_unix_nano, Some(1_790_000_000_000_000_000));
        assert_eq!(queued.log_events.last_event_id, "2");
        let Content::Request(request) = &queued.content else { panic!("{queued:?}") };
        assert_eq!((request.kind(), request.items()), (SignalKind::Logs, 2));
        let mut written: Value = serde_json::from_str(&encode(&queued).unwrap()).unwrap();
        // Other compression levels give other bytes.
        written["body"] = example["body"].clone();
        assert_eq!(written, example);
    }

    #[test]
    fn a_time_of_1970_differs_from_an_unknown_time() {
        let log_events = LogEventRange::default();
        let round_trip = |content: Content| {
            let queued =
                QueuedTelemetry::new("default", content, 1, "full".to_owned(), &log_events, 1);
            let read = decode(&encode(&queued).unwrap()).unwrap();
            (read.oldest_unix_nano, read.newest_unix_nano)
        };
        let event = |timestamp_ms| LogEvent { timestamp_ms, ..LogEvent::default() };
        let batch = LogBatch { events: vec![event(0), event(7)], ..LogBatch::default() };
        assert_eq!(round_trip(Content::Events(batch)), (Some(0), Some(7_000_000)));
        assert_eq!(round_trip(Content::Raw(b"?".to_vec())), (None, None));
    }

    #[test]
    fn every_message_key_is_documented() {
        let page = include_str!("../../../docs/guarantees.md");
        let whole = decode(&example().to_string()).unwrap();
        let queued = QueuedTelemetry { fate: Fate::DeadLetterPartial, ..whole };
        let written: Value = serde_json::from_str(&encode(&queued).unwrap()).unwrap();
        for key in written.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{key}`")), "{key}");
        }
    }

    #[test]
    fn a_parked_batch_is_readable_as_a_subscription_event() {
        let batch = LogBatch {
            is_control: false,
            origin: Origin::new("1", "eu-north-1", "g", "s"),
            events: vec![LogEvent {
                id: "7".to_owned(),
                timestamp_ms: 5,
                message: "m\n".to_owned(),
            }],
            cut: 0,
        };
        let request = decode(&example().to_string()).unwrap();
        let queued =
            QueuedTelemetry { content: Content::Events(batch.clone()), items: 1, ..request };
        let written: Value = serde_json::from_str(&encode(&queued).unwrap()).unwrap();
        let json = json!({ "awslogs": { "data": written["body"] } });
        let event: crate::source::Event = serde_json::from_value(json).unwrap();
        let limits = crate::source::SourceLimits::default();
        let read: Vec<_> = event.batches(&limits).map(Result::unwrap).collect();
        assert_eq!(read, [batch]);
    }

    #[test]
    fn later_minor_versions_and_unknown_keys_are_accepted() {
        let check = |key: &str, value: Value| {
            let mut message = example();
            message[key] = value;
            assert!(decode(&message.to_string()).is_ok(), "{message}");
        };
        check("v", json!("1.7"));
        check("v", json!("1"));
        check("later", json!({ "a": [1, 2] }));
        check("origin", json!({ "later": 1 }));
    }

    #[test]
    fn invalid_messages_are_rejected_with_a_reason() {
        let check = |key: &str, value: Value, expected: &str| {
            let mut message = example();
            if value.is_null() {
                message.as_object_mut().unwrap().remove(key);
            } else {
                message[key] = value;
            }
            let error = decode(&message.to_string()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        // `null` removes the key.
        check(
            "v",
            json!("2.0"),
            "queue message of version 2.0, but this forwarder reads version 1",
        );
        check(
            "v",
            json!("10.0"),
            "queue message of version 10.0, but this forwarder reads version 1",
        );
        check("v", json!(1), "not a queue message: ");
        check("v", Value::Null, "not a queue message: missing field `v`");
        check("destination", Value::Null, "not a queue message: missing field `destination`");
        check("items", json!(-1), "queue message cannot be read: invalid value: integer `-1`");
        check("items", json!(3), "queue message with an invalid `items`: 3, the request has 2");
        check("items", json!(1), "queue message with an invalid `items`: 1, the request has 2");
        check(
            "first_seen",
            Value::Null,
            "queue message cannot be read: missing field `first_seen`",
        );
        check(
            "content",
            json!("spans"),
            "queue message with an invalid `content`: spans is not known",
        );
        check(
            "signal",
            json!("profiles"),
            "queue message with an invalid `signal`: profiles is not",
        );
        check("signal", Value::Null, "queue message with an invalid `signal`:  is not known");
        check(
            "encoding",
            json!("zstd"),
            "queue message with an invalid `encoding`: zstd, expected gzip",
        );
        check("body", json!("!"), "queued request cannot be read: ");
        check("body", json!("aGVsbG8="), "queued request cannot be read: ");
        check(
            "stream",
            json!({"a":"customer's text"}),
            "queue message cannot be read: invalid type: map",
        );
        for no_time in [
            "now",
            "2026-09-21T14:13:20",
            "2026-09-21T14:13:20+02:00",
            "2026-09-21T14:13:20.1234567890Z",
        ] {
            let expected = "queue message with an invalid `oldest`: expected 2026-";
            check("oldest", json!(no_time), expected);
        }
        let gzip = |level, bytes: &[u8]| json!(STANDARD.encode(wire::gzip::compress(level, bytes)));
        let bomb = gzip(9, &vec![0; 17 * 1024 * 1024]);
        check("body", bomb, "queued request cannot be read: gzip stream inflates to more than");
        check("body", gzip(1, b"no protobuf"), "queued request cannot be read: ");
    }

    /// Such a message comes from an earlier version, which counted the points of both.
    #[test]
    fn a_message_with_two_kinds_of_data_in_a_metric_is_read() {
        let bytes = in_scope(|scope| {
            scope.message(2, |metric| {
                metric.string(1, "m");
                metric.message(5, |gauge| (0..2).for_each(|_| gauge.message(1, |_| {})));
                metric.message(7, |sum| sum.message(1, |_| {}));
            });
        });
        let mut message = example();
        message["signal"] = json!("metrics");
        message["items"] = json!(3);
        message["body"] = json!(STANDARD.encode(wire::gzip::compress(1, &bytes)));
        let queued = decode(&message.to_string()).unwrap();
        assert_eq!(queued.items, 1, "protobuf readers see the sum alone");
        let Content::Request(request) = queued.content else { panic!() };
        assert_eq!(request.items(), 1);
    }

    #[test]
    fn foreign_bodies_are_recognized_and_no_error_quotes_content() {
        for other in
            ["", "null", "{}", "[]", "\"v\"", r#"{"awslogs":{"data":"x"}}"#, r#"{"v":"1.0"}"#]
        {
            let error = decode(other).unwrap_err().to_string();
            assert!(error.starts_with("not a queue message: "), "{other}: {error}");
        }
        let long = format!("{{\"v\":\"{}", "1".repeat(9 * 1024 * 1024));
        let error = decode(&long).unwrap_err().to_string();
        assert!(error.starts_with("not a queue message: 94"), "{error}");
        let quoting = r#"{"v":"1.0","destination":"d","items":"a customer's text"}"#;
        assert!(!decode(quoting).unwrap_err().to_string().contains("customer"));
    }
}
