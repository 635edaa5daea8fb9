//! Encodes parked content as JSON and decodes it; `docs/guarantees.md` describes the format.

mod events;

use super::parked::{Content, Parked};
use crate::source::{LogEventRange, Origin};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::{events_json, log_batch};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wire::timestamp::{parse_rfc3339, rfc3339_nanos};
use wire::{Limits, Malformed, Request, SignalKind};

/// Major and minor version. Minor versions only add fields.
const VERSION: &str = "1.0";
const MAJOR: &str = "1";

/// Fast, because the invocation's time is short. Higher levels save a few percent; SQS charges per 64 KiB.
const GZIP_LEVEL: u32 = 4;

const MOST_REASON_CHARS: usize = 1000;

/// Size limit for reading. A message has at most 1 MiB, but the on-failure bucket may contain larger wrappers.
const MOST_BODY_BYTES: usize = 8 * 1024 * 1024;

/// The reason why a text is no readable parked message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotParked {
    /// Another JSON object, or no JSON.
    #[error("not a queue message: {0}")]
    Other(String),
    /// Written by a later major version.
    #[error(
        "queue message of version {0}, but this forwarder reads version 1: update the forwarder"
    )]
    Newer(String),
    /// A field is missing or has another type.
    #[error("queue message cannot be read: {0}")]
    Json(String),
    #[error("queue message with an invalid `{field}`: {problem}")]
    Field { field: &'static str, problem: String },
    /// The content does not match its description.
    #[error("queued {content} cannot be read: {problem}")]
    Content { content: &'static str, problem: String },
}

/// The content inflates to this many bytes, more than the limit for reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooManyBytes(pub(super) usize);

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
    #[serde(default, skip_serializing_if = "is_false")]
    partial: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oldest: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<Cow<'a, str>>,
    first_seen: Cow<'a, str>,
    #[serde(default)]
    reason: Cow<'a, str>,
    #[serde(default)]
    origin: TextOrigin<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_ms: Option<i64>,
    encoding: Cow<'a, str>,
    body: Cow<'a, str>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct TextOrigin<'a> {
    #[serde(borrow, skip_serializing_if = "str::is_empty")]
    account: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    region: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stream: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    first_event_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_event_id: Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn encode(parked: &Parked) -> Result<String, TooManyBytes> {
    let bytes = content_bytes(&parked.content);
    if !is_read_back(&parked.content, &bytes) {
        return Err(TooManyBytes(bytes.len()));
    }
    let body = STANDARD.encode(wire::gzip::compress(GZIP_LEVEL, &bytes));
    Ok(frame(parked, &body))
}

/// Size of a message without its body.
pub(super) fn frame_bytes(parked: &Parked) -> usize {
    frame(parked, "").len()
}

fn frame(parked: &Parked, body: &str) -> String {
    // Named one by one, so that the compiler reports a missing field.
    let Parked {
        destination,
        stream,
        content,
        items,
        oldest_unix_nano,
        newest_unix_nano,
        first_seen_unix_nano,
        reason,
        partial,
        log_events,
    } = parked;
    let LogEventRange { origin, first_event_id, last_event_id } = log_events;
    let Origin { account, region, log_group, log_stream } = origin;
    let time = |nanos: u64| (nanos > 0).then(|| rfc3339_nanos(nanos).into());
    let (event_id, timestamp_ms) = match content {
        Content::Line { event_id, timestamp_ms, .. } => {
            (Some(event_id.as_str().into()), Some(*timestamp_ms))
        }
        _ => (None, None),
    };
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
        partial: *partial,
        oldest: time(*oldest_unix_nano),
        newest: time(*newest_unix_nano),
        first_seen: rfc3339_nanos(*first_seen_unix_nano).into(),
        reason: reason.chars().take(MOST_REASON_CHARS).collect(),
        origin: TextOrigin {
            account: account.into(),
            region: region.into(),
            group: log_group.into(),
            stream: log_stream.into(),
            first_event_id: first_event_id.into(),
            last_event_id: last_event_id.into(),
        },
        event_id,
        timestamp_ms,
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

fn content_bytes(content: &Content) -> Cow<'_, [u8]> {
    match content {
        Content::Request(request) => request.bytes().into(),
        Content::Line { line, .. } => line.as_bytes().into(),
        Content::Events(batch) => events_json(batch).into(),
        Content::Raw(bytes) => bytes.into(),
    }
}

/// Returns `true` if [`decode`] accepts the content. A merged request may exceed the item limit of a line.
fn is_read_back(content: &Content, bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let Content::Request(request) = content else { return bytes.len() <= limits.inflated_bytes };
    // A protobuf message has at least two bytes.
    let is_small = bytes.len() / 2 <= limits.messages.min(limits.items);
    is_small
        || bytes.len() <= limits.inflated_bytes
            && Request::check(request.kind(), bytes.to_vec(), &limits).is_ok()
}

/// Decodes a message of this major version. Ignores unknown fields.
pub(super) fn decode(body: &str) -> Result<Parked, NotParked> {
    if body.len() > MOST_BODY_BYTES {
        return Err(NotParked::Other(format!("{} bytes", body.len())));
    }
    let version = version(body)?;
    if version.split('.').next() != Some(MAJOR) {
        return Err(NotParked::Newer(version));
    }
    let text: MessageText<'_> =
        serde_json::from_str(body).map_err(|error| NotParked::Json(json_problem(&error)))?;
    if text.encoding != "gzip" {
        return Err(wrong("encoding", format!("{}, expected gzip", excerpt(&text.encoding))));
    }
    let time = |field, time: &str| {
        // This crate writes UTC. A time with an offset was edited by hand.
        let utc = parse_rfc3339(time).filter(|_| time.ends_with('Z'));
        utc.ok_or_else(|| wrong(field, "expected 2026-09-21T14:13:20Z".to_owned()))
    };
    let time_if_set = |field, text: &Option<Cow<'_, str>>| match text {
        Some(text) => time(field, text),
        None => Ok(0),
    };
    let oldest_unix_nano = time_if_set("oldest", &text.oldest)?;
    let newest_unix_nano = time_if_set("newest", &text.newest)?;
    let first_seen_unix_nano = time("first_seen", &text.first_seen)?;
    let content = content(&text)?;
    check_items(&content, text.items, text.partial)?;
    let TextOrigin { account, region, group, stream, first_event_id, last_event_id } = text.origin;
    Ok(Parked {
        destination: text.destination.into_owned(),
        stream: text.stream.map(Cow::into_owned),
        content,
        items: text.items,
        oldest_unix_nano,
        newest_unix_nano,
        first_seen_unix_nano,
        reason: text.reason.into_owned(),
        partial: text.partial,
        log_events: LogEventRange {
            origin: Origin {
                account: account.into_owned(),
                region: region.into_owned(),
                log_group: group.into_owned(),
                log_stream: stream.into_owned(),
            },
            first_event_id: first_event_id.into_owned(),
            last_event_id: last_event_id.into_owned(),
        },
    })
}

/// Reads the version, which all versions write in the same place.
fn version(body: &str) -> Result<String, NotParked> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        v: Cow<'a, str>,
        #[serde(borrow)]
        #[expect(dead_code, reason = "says that the message is one of ours")]
        destination: Cow<'a, str>,
    }
    let head: Head<'_> =
        serde_json::from_str(body).map_err(|error| NotParked::Other(json_problem(&error)))?;
    Ok(excerpt(&head.v))
}

fn content(text: &MessageText<'_>) -> Result<Content, NotParked> {
    let name = ["request", "line", "events", "raw"]
        .into_iter()
        .find(|name| *name == text.content)
        .ok_or_else(|| wrong("content", format!("{} is not known", excerpt(&text.content))))?;
    let limits = Limits::default();
    let bad = |problem: String| NotParked::Content { content: name, problem };
    let gzip = STANDARD.decode(text.body.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let bytes = wire::gzip::inflate(&gzip, limits.inflated_bytes)
        .map_err(|error| bad(error.to_string()))?;
    match name {
        "request" => {
            let named = text.signal.as_deref().unwrap_or_default();
            let kind = SignalKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == named)
                .ok_or_else(|| wrong("signal", format!("{} is not known", excerpt(named))))?;
            Request::check(kind, bytes, &limits)
                .map(Content::Request)
                .map_err(|error: Malformed| bad(error.to_string()))
        }
        "line" => Ok(Content::Line {
            event_id: text.event_id.as_deref().unwrap_or_default().to_owned(),
            timestamp_ms: text.timestamp_ms.unwrap_or_default(),
            line: String::from_utf8(bytes).map_err(|_| bad("not UTF-8 text".to_owned()))?,
        }),
        "events" => log_batch(&bytes).map(Content::Events).map_err(bad),
        _ => Ok(Content::Raw(bytes)),
    }
}

/// A message that claims other items than it contains would unbalance the accounting.
fn check_items(content: &Content, items: usize, partial: bool) -> Result<(), NotParked> {
    let Content::Request(request) = content else { return Ok(()) };
    let held = request.items();
    if items == held || (partial && items <= held) {
        return Ok(());
    }
    Err(wrong("items", format!("{items}, the request has {held}")))
}

/// The error of serde_json without the quoted value, which may be telemetry.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let before = text.get(..first).unwrap_or_default();
            let after = text.get(last + 1..).unwrap_or_default();
            format!("{before}…{after}")
        }
        _ => text,
    }
}

fn wrong(field: &'static str, problem: String) -> NotParked {
    NotParked::Field { field, problem }
}

/// A word of the message that is safe to show.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(20).collect()
}

#[cfg(test)]
mod tests;
