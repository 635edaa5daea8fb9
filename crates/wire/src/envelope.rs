//! What one JSON object in the text of a log event is: an OTLP line, bare OTLP/JSON, or a log record
//! that may hold one.

use crate::find::{OLD_MARKER, WRAPPERS};
use crate::json_scalar::text;
use crate::line::LineError;
use crate::payload::{self, PayloadError};
use crate::request::{Limits, Request};
use crate::{MARKER, SignalKind, json};
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The keys of an object that matter, undecoded: values of any JSON type pass.
#[derive(Default)]
pub(crate) struct Object<'a> {
    marker: Option<&'a RawValue>,
    has_old_marker: bool,
    source: Option<&'a RawValue>,
    endpoint: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    /// An array under the key of a signal.
    has_resources: bool,
    wrapped: [Option<&'a RawValue>; WRAPPERS.len()],
}

/// What an object is.
pub(crate) enum Class<'a> {
    /// It has the marker: it claims to be an OTLP line.
    Line,
    /// It is an `Export…ServiceRequest` in OTLP/JSON, or several.
    Bare,
    /// It is a log record; OTLP may be in these values.
    Record([Option<&'a RawValue>; WRAPPERS.len()]),
}

impl<'a> Object<'a> {
    /// Parses the object that begins `text`; answers it and its length.
    pub(crate) fn parse(text: &'a str) -> Result<(Self, usize), serde_json::Error> {
        let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Self>();
        match objects.next() {
            Some(object) => Ok((object?, objects.byte_offset())),
            None => Err(serde_json::Error::custom("nothing there")),
        }
    }

    pub(crate) fn class(&self) -> Class<'a> {
        // The old marker is a common word, so it counts only beside what it marked.
        let is_line = self.marker.is_some() || (self.has_old_marker && self.payload.is_some());
        // A log record that has OTLP among its fields is still a log record.
        let is_bare = self.has_resources && self.wrapped.iter().all(Option::is_none);
        match (is_line, is_bare) {
            (true, _) => Class::Line,
            (false, true) => Class::Bare,
            (false, false) => Class::Record(self.wrapped),
        }
    }

    /// What the writer says its service is called.
    pub(crate) fn source(&self) -> Option<String> {
        self.source.and_then(|source| text(source.get())).map(std::borrow::Cow::into_owned)
    }

    /// The requests of an object of [`Class::Line`].
    pub(crate) fn requests(&self, limits: &Limits) -> Result<Vec<Request>, LineError> {
        let named = self
            .endpoint
            .and_then(|endpoint| text(endpoint.get()))
            .and_then(|endpoint| SignalKind::from_endpoint(&endpoint));
        let payload = self.payload.map(RawValue::get).filter(|payload| *payload != "null");
        let Some(payload) = payload else {
            if self.leaves_out_empty_payloads() {
                let kind = named.unwrap_or(SignalKind::Traces);
                return Ok(vec![Request::trusted(kind, Vec::new())]);
            }
            return Err(LineError::NoPayload);
        };
        if payload.starts_with('{') {
            let requests = json::read(payload, named, limits);
            return requests.map_err(|error| LineError::Payload(PayloadError::Json(error)));
        }
        let payload = text(payload).ok_or(LineError::NoPayload)?;
        payload::decode(&payload, named, limits).map_err(LineError::Payload)
    }

    /// otlp-stdout-adapter (Python) writes no payload for an empty body; with any other writer
    /// something was lost.
    fn leaves_out_empty_payloads(&self) -> bool {
        let writer = self.marker.and_then(|marker| text(marker.get()));
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
        while let Some(key) = map.next_key_seed(json::KeyIn(|key: &str| Some(Key::of(key))))? {
            match key.unwrap_or(Key::Other) {
                Key::Marker => object.marker = Some(map.next_value()?),
                Key::OldMarker => {
                    object.has_old_marker = true;
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Source => object.source = Some(map.next_value()?),
                Key::Endpoint => object.endpoint = Some(map.next_value()?),
                // Which of two payloads is meant nobody can know.
                Key::Payload if object.payload.is_some() => {
                    return Err(A::Error::duplicate_field("payload"));
                }
                Key::Payload => object.payload = Some(map.next_value()?),
                Key::Resources => {
                    object.has_resources |= map.next_value::<&RawValue>()?.get().starts_with('[');
                }
                Key::Wrapper(index) => {
                    let value = map.next_value()?;
                    if let Some(wrapped) = object.wrapped.get_mut(index) {
                        *wrapped = Some(value);
                    }
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(object)
    }
}

enum Key {
    Marker,
    OldMarker,
    Source,
    Endpoint,
    Payload,
    Resources,
    Wrapper(usize),
    Other,
}

impl Key {
    fn of(key: &str) -> Self {
        match key {
            MARKER => Self::Marker,
            OLD_MARKER => Self::OldMarker,
            "source" => Self::Source,
            "endpoint" => Self::Endpoint,
            "payload" => Self::Payload,
            _ if json::signal_of_key(key).is_some() => Self::Resources,
            _ => WRAPPERS
                .iter()
                .position(|wrapper| *wrapper == key)
                .map_or(Self::Other, Self::Wrapper),
        }
    }
}
