//! Classifies a JSON object in the text of a log event: an OTLP line, bare OTLP/JSON, or a log record that may contain one.

use super::find::{OLD_MARKER, WRAPPERS};
use super::payload;
use super::reading::LineError;
use super::{COMPACT_MARKER, MARKER};
use crate::compact::{self, CompactError, Context};
use crate::json::{self, KeyIn, text};
use crate::request::{Limits, Request};
use crate::schema::signal_of_key;
use crate::signal::SignalKind;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The relevant keys of an object with the JSON texts of their values, which may have any type.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about its keys")]
pub(super) struct Object<'a> {
    /// `true` if the first key makes it OTLP.
    begins_as_otlp: bool,
    marker: Option<&'a str>,
    has_old_marker: bool,
    compact: Option<&'a str>,
    endpoint: Option<&'a str>,
    payload: Option<&'a str>,
    /// `true` if the key of a signal, such as `resourceSpans`, has an array.
    has_signal_array: bool,
    /// `true` if it has a key of the telemetry of one resource: `resource`, the scopes or `schemaUrl`.
    has_one_resource_key: bool,
    /// `true` if `resource` is an object.
    has_resource_fields: bool,
    /// The signal with scopes in an array.
    scopes: Option<SignalKind>,
    wrapped: [Option<&'a str>; WRAPPERS.len()],
    /// `true` if it has one of [`LINE_KEYS`].
    has_other_line_keys: bool,
    /// `true` if it has a key unknown in lines, in Lambda's output and in runtimes' formatters.
    has_other_keys: bool,
}

/// An object at the start of a text, and its length.
pub(super) struct ParsedObject<'a> {
    pub(super) object: Object<'a>,
    pub(super) len: usize,
}

/// Keys other than the message, `timestamp` and `level`, from Lambda and its runtimes' formatters: the Telemetry API's
/// records, Lambda's JSON log format, tracing-subscriber's JSON, container runtimes.
const FORMATTER_KEYS: [&str; 10] = [
    "time",
    "type",
    "requestId",
    "AWSRequestId",
    "tenantId",
    "logger",
    "target",
    "stream",
    "filename",
    "line_number",
];

/// Keys of lines other than the marker, endpoint and payload.
const LINE_KEYS: [&str; 6] =
    ["source", "method", "headers", "content-type", "content-encoding", "base64"];

pub(super) enum Class<'a> {
    /// It has the marker, and thus claims to be an OTLP line.
    Line,
    /// One or more `Export…ServiceRequest` in OTLP/JSON.
    Bare,
    /// The telemetry of one resource and nothing else, as Java's `logging-otlp` exporters write it, one per line.
    OneResource(SignalKind),
    /// A log record with possible OTLP in these values.
    Record {
        values: [Option<&'a str>; WRAPPERS.len()],
        /// `true` if it contains more than Lambda and its runtimes put around a logged text.
        has_other_keys: bool,
    },
}

impl<'a> Object<'a> {
    /// Parses the object at the start of `text`.
    pub(super) fn parse(text: &'a str) -> Result<ParsedObject<'a>, serde_json::Error> {
        let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Self>();
        match objects.next() {
            Some(object) => Ok(ParsedObject { object: object?, len: objects.byte_offset() }),
            None => Err(serde_json::Error::custom("nothing there")),
        }
    }

    /// Stores the value of a key, or what the key says about the object. The keys come in their order.
    fn note(&mut self, key: &Key, value: &'a str) -> Result<(), RepeatedKey> {
        match *key {
            Key::Marker => self.marker = Some(value),
            Key::OldMarker => self.has_old_marker = true,
            Key::Compact if self.compact.is_some() => return Err(RepeatedKey(COMPACT_MARKER)),
            Key::Compact => self.compact = Some(value),
            Key::Endpoint => self.endpoint = Some(value),
            Key::Payload if self.payload.is_some() => return Err(RepeatedKey("payload")),
            Key::Payload => self.payload = Some(value),
            Key::Resources => self.has_signal_array |= value.starts_with('['),
            Key::Resource => {
                self.has_resource_fields = value.starts_with('{');
                self.has_one_resource_key = true;
            }
            Key::Scopes(kind) => {
                // With two signals it stays an ordinary record, so that neither is lost.
                self.has_other_keys |= self.scopes.is_some();
                self.scopes = value.starts_with('[').then_some(kind);
                self.has_one_resource_key = true;
            }
            Key::SchemaUrl => self.has_one_resource_key = true,
            Key::Wrapper(index) => {
                if let Some(wrapped) = self.wrapped.get_mut(index) {
                    // One of two messages would remain unread.
                    self.has_other_keys |= wrapped.is_some();
                    *wrapped = Some(value);
                }
            }
            // A compact line begins with its content.
            Key::Spill => self.has_other_keys |= self.compact.is_none(),
            Key::TimeOrLevel => {}
            Key::Formatter => self.has_other_keys |= self.compact.is_some(),
            Key::Line => self.has_other_line_keys = true,
            Key::Other => self.has_other_keys = true,
        }
        Ok(())
    }

    pub(super) fn class(&self) -> Class<'a> {
        if self.is_standard_line() || self.is_compact_line() {
            return Class::Line;
        }
        if self.is_bare() {
            return Class::Bare;
        }
        let has_other_keys = self.has_other_keys
            || self.has_any_line_key()
            || self.is_marked()
            || self.has_signal_array
            || self.compact.is_some();
        match self.scopes {
            Some(kind) if self.has_resource_fields && !has_other_keys && !self.is_wrapper() => {
                Class::OneResource(kind)
            }
            _ => Class::Record {
                values: self.wrapped,
                has_other_keys: has_other_keys || self.has_one_resource_key,
            },
        }
    }

    fn is_standard_line(&self) -> bool {
        // Writers add keys in later versions. But an attacker who controls one key of a log record must not be able to turn it
        // into a line or OTLP/JSON, because the rest of the record would be lost.
        let is_whole = self.endpoint.is_some() && self.payload.is_some() && self.begins_as_otlp;
        self.is_marked() && !self.is_wrapper() && (!self.has_other_keys || is_whole)
    }

    fn is_compact_line(&self) -> bool {
        self.compact.is_some_and(|content| content.starts_with('"'))
            && self.begins_as_otlp
            && !self.has_other_keys
            && !self.has_signal_array
            && !self.has_one_resource_key
            && self.marker.is_none()
            && !self.has_any_line_key()
            && !self.is_wrapper()
    }

    fn is_bare(&self) -> bool {
        // A log record with OTLP among its fields is still a log record.
        self.has_signal_array && !self.is_wrapper() && (!self.has_other_keys || self.begins_as_otlp)
    }

    fn is_marked(&self) -> bool {
        // The old marker is a common word, so it counts only together with a payload.
        self.marker.is_some() || (self.has_old_marker && self.payload.is_some())
    }

    fn is_wrapper(&self) -> bool {
        self.wrapped.iter().any(Option::is_some)
    }

    fn has_any_line_key(&self) -> bool {
        self.has_other_line_keys || self.endpoint.is_some() || self.payload.is_some()
    }

    /// The requests of an object of [`Class::Line`]. Adds the bytes that it inflated to `inflated`, also if it fails.
    pub(super) fn requests(
        &self,
        context: &Context<'_>,
        limits: &Limits,
        inflated: &mut usize,
    ) -> Result<Vec<Request>, LineError> {
        let Some(compact) = self.compact else {
            return self.standard_requests(limits, inflated);
        };
        let text = text(compact).ok_or(LineError::Compact(CompactError::NotText))?;
        compact::decode_counted(&text, context, limits, inflated).map_err(LineError::Compact)
    }

    fn standard_requests(
        &self,
        limits: &Limits,
        inflated: &mut usize,
    ) -> Result<Vec<Request>, LineError> {
        let named =
            self.endpoint.and_then(text).and_then(|endpoint| SignalKind::from_endpoint(&endpoint));
        let payload = self.payload.filter(|payload| *payload != "null");
        let Some(payload) = payload else {
            if self.leaves_out_empty_payloads() {
                let kind = named.unwrap_or(SignalKind::Traces);
                return Ok(vec![Request::trusted(kind, Vec::new())]);
            }
            return Err(LineError::NoPayload);
        };
        if payload.starts_with('{') {
            return json::read(payload, named, limits).map_err(LineError::PayloadJson);
        }
        let payload = text(payload).ok_or(LineError::NoPayload)?;
        payload::decode(&payload, named, limits, inflated)
    }

    /// otlp-stdout-adapter (Python) writes no payload for an empty body. For all other writers a missing payload is a loss.
    fn leaves_out_empty_payloads(&self) -> bool {
        let writer = self.marker.and_then(text);
        writer.is_some_and(|writer| writer.starts_with("otlp-stdout-adapter@"))
    }
}

impl<'de> serde::Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::default();
        let mut is_first = true;
        while let Some(key) = map.next_key_seed(KeyIn(|key: &str| Some(Key::of(key))))? {
            let key = key.unwrap_or(Key::Other);
            object.begins_as_otlp |= is_first
                && matches!(key, Key::Marker | Key::Compact | Key::OldMarker | Key::Resources);
            is_first = false;
            let value = match key {
                Key::Other | Key::TimeOrLevel | Key::Formatter | Key::Line | Key::Spill => {
                    map.next_value::<IgnoredAny>()?;
                    ""
                }
                _ => map.next_value::<&RawValue>()?.get(),
            };
            object.note(&key, value).map_err(|RepeatedKey(key)| A::Error::duplicate_field(key))?;
        }
        Ok(object)
    }
}

/// A key that occurs twice: its two values are ambiguous.
struct RepeatedKey(&'static str);

enum Key {
    Marker,
    Compact,
    OldMarker,
    Endpoint,
    Payload,
    Resources,
    Resource,
    Scopes(SignalKind),
    SchemaUrl,
    Wrapper(usize),
    Spill,
    /// `timestamp` or `level`, which lines have in Lambda's JSON format.
    TimeOrLevel,
    /// One of [`FORMATTER_KEYS`].
    Formatter,
    /// One of [`LINE_KEYS`].
    Line,
    Other,
}

impl Key {
    fn of(key: &str) -> Self {
        match key {
            MARKER => Self::Marker,
            COMPACT_MARKER => Self::Compact,
            OLD_MARKER => Self::OldMarker,
            "endpoint" => Self::Endpoint,
            "payload" => Self::Payload,
            "resource" => Self::Resource,
            "scopeSpans" | "scope_spans" => Self::Scopes(SignalKind::Traces),
            "scopeMetrics" | "scope_metrics" => Self::Scopes(SignalKind::Metrics),
            "scopeLogs" | "scope_logs" => Self::Scopes(SignalKind::Logs),
            "schemaUrl" | "schema_url" => Self::SchemaUrl,
            "spill" => Self::Spill,
            "timestamp" | "level" => Self::TimeOrLevel,
            _ if key.starts_with("resource") && signal_of_key(key).is_some() => Self::Resources,
            _ if FORMATTER_KEYS.contains(&key) => Self::Formatter,
            _ if LINE_KEYS.contains(&key) => Self::Line,
            _ => {
                let wrapper = WRAPPERS.iter().position(|wrapper| *wrapper == key);
                wrapper.map_or(Self::Other, Self::Wrapper)
            }
        }
    }
}
