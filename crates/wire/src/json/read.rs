//! Converts OTLP/JSON to protobuf with the tables of `schema`, without structs in between.
//!
//! Source: OTLP 1.x, "JSON Protobuf Encoding", and the underlying ProtoJSON format
//! (<https://protobuf.dev/programming-guides/json/>). Unambiguous deviations of writers are accepted, ambiguous ones refused;
//! `docs/line-format.md` has the list. opentelemetry-proto's structs refuse doubles as text, integers as `1.0`, names of
//! enumerations, half a surrogate pair and `null`, and take the last of two values.

use super::JsonError;
use super::scalar::{self, Unfit, text};
use crate::protobuf::{Writer, begin_delimited, end_delimited};
use crate::request::{Limits, Malformed, Request, UncheckedRequest};
use crate::schema::{self, Field, Kind, Message, Presence, signal_of_key};
use crate::signal::SignalKind;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::fmt;

impl Request {
    /// Reads the OTLP/JSON of one `Export…ServiceRequest`. Keys of other signals are unknown to it and ignored.
    pub fn from_json(kind: SignalKind, json: &[u8], limits: &Limits) -> Result<Self, JsonError> {
        let json = std::str::from_utf8(json).map_err(|_| JsonError::NotUtf8)?;
        let mut requests = read_signals(json, &[kind], limits)?;
        Ok(requests.pop().unwrap_or_else(|| Self::trusted(kind, Vec::new())))
    }
}

/// Reads the OTLP/JSON of one object with requests of any signals. `named` is the signal of an object without any.
pub(crate) fn read(
    json: &str,
    named: Option<SignalKind>,
    limits: &Limits,
) -> Result<Vec<Request>, JsonError> {
    let mut requests = read_signals(json, &SignalKind::ALL, limits)?;
    if requests.is_empty() {
        requests.push(Request::trusted(named.unwrap_or(SignalKind::Traces), Vec::new()));
    }
    Ok(requests)
}

fn read_signals(
    json: &str,
    kinds: &[SignalKind],
    limits: &Limits,
) -> Result<Vec<Request>, JsonError> {
    let depth_left = limits.nesting.saturating_sub(1);
    let mut state = Conversion { limits, depth_left, messages: 0, out: Vec::new(), failure: None };
    let mut parser = serde_json::Deserializer::from_str(json);
    let signals = Signals { kinds, state: &mut state };
    let read = parser.deserialize_map(signals).and_then(|read| parser.end().map(|()| read));
    let requests = read.map_err(|error| match (error.classify(), state.failure) {
        (Category::Data, Some(failure)) => failure,
        (Category::Data, None) => JsonError::NotAnObject,
        // Only type errors contain content.
        _ => JsonError::Syntax(error.to_string()),
    })?;
    UncheckedRequest::check_all(requests, limits).map_err(JsonError::Malformed)
}

/// A key in one spelling or both, which is ambiguous.
const TWICE: &str = "occurs twice";

/// An error without a noted reason, which [`FieldValue::deserialize`] adds.
const OTHER_TYPE: &str = "a value of another type";

/// State shared by all levels: the output, limits, and the reason why reading stopped. serde's own errors quote the content, so
/// they only signal the failure.
struct Conversion<'l> {
    limits: &'l Limits,
    depth_left: usize,
    messages: usize,
    out: Vec<u8>,
    failure: Option<JsonError>,
}

impl Conversion<'_> {
    /// Keeps the first reason, which is the innermost.
    fn fail<E: Error>(&mut self, failure: JsonError) -> E {
        self.failure.get_or_insert(failure);
        E::custom("refused")
    }

    fn wrong<E: Error>(&mut self, message: &Message, field: &Field, problem: &'static str) -> E {
        self.fail(JsonError::Value { message: message.name, key: field.name, problem })
    }

    /// Counts a message. A request with too many messages is refused before all of it is read.
    fn count_message<E: Error>(&mut self) -> Result<(), E> {
        self.messages += 1;
        let allowed = self.limits.messages;
        if self.messages > allowed {
            return Err(self.fail(JsonError::Malformed(Malformed::TooManyMessages(allowed))));
        }
        self.check_size(self.out.len())
    }

    fn check_size<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        let max_bytes = self.limits.inflated_bytes;
        if bytes > max_bytes { Err(self.fail(JsonError::TooLarge { max_bytes })) } else { Ok(()) }
    }

    /// Appends a scalar field. Returns `false` for `null`, which means absent.
    fn scalar<E: Error>(&mut self, message: &Message, field: &Field, raw: &str) -> Result<bool, E> {
        if raw == "null" {
            return Ok(false);
        }
        let written = scalar::write(field, raw, &mut self.out).or_else(|unfit| {
            let double = double_for(message, field, raw).ok_or(unfit)?;
            scalar::write(double, raw, &mut self.out)
        });
        written.map(|()| true).map_err(|Unfit(problem)| self.wrong(message, field, problem))
    }

    fn fields<'de, A: MapAccess<'de>>(
        &mut self,
        message: &'static Message,
        mut map: A,
    ) -> Result<(), A::Error> {
        let mut seen = 0u32;
        let mut chosen = false;
        while let Some(field) = map.next_key_seed(KeyIn(|key: &str| message.field_of_key(key)))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let is_there = match (field.kind, field.presence) {
                (Kind::Message(_), _) | (_, Presence::Repeated) => {
                    map.next_value_seed(FieldValue {
                        message,
                        field,
                        is_element: false,
                        state: self,
                    })?
                }
                _ => self.scalar(message, field, map.next_value::<&RawValue>()?.get())?,
            };
            if !is_there {
                continue;
            }
            let bit = 1 << field.number;
            if seen & bit != 0 {
                return Err(self.wrong(message, field, TWICE));
            }
            seen |= bit;
            if field.presence == Presence::Oneof && std::mem::replace(&mut chosen, true) {
                return Err(self.wrong(message, field, "is a second value where one is allowed"));
            }
            self.check_size(self.out.len())?;
        }
        Ok(())
    }
}

/// A key with a signal's resources, and its field in the signal's request.
struct SignalKey {
    kind: SignalKind,
    message: &'static Message,
    field: &'static Field,
}

impl SignalKey {
    fn of(key: &str) -> Option<Self> {
        let kind = signal_of_key(key)?;
        let message = schema::request(kind);
        Some(Self { kind, message, field: message.field_of_key(key)? })
    }
}

/// Reads the outermost object: each signal's key into a request of its own.
struct Signals<'s, 'l> {
    kinds: &'s [SignalKind],
    state: &'s mut Conversion<'l>,
}

impl<'de> Visitor<'de> for Signals<'_, '_> {
    type Value = Vec<UncheckedRequest>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { kinds, state } = self;
        let signal_key = |key: &str| SignalKey::of(key).filter(|known| kinds.contains(&known.kind));
        let mut requests: Vec<UncheckedRequest> = Vec::new();
        while let Some(known) = map.next_key_seed(KeyIn(signal_key))? {
            let Some(SignalKey { kind, message, field }) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if requests.iter().any(|request| request.kind == kind) {
                return Err(state.wrong(message, field, TWICE));
            }
            if map.next_value_seed(FieldValue { message, field, is_element: false, state })? {
                requests.push(UncheckedRequest { kind, bytes: std::mem::take(&mut state.out) });
            }
        }
        Ok(requests)
    }
}

/// Reads a message, an array, or a message in an array, and appends it as a field. Returns `false` for `null`, which means absent.
struct FieldValue<'s, 'l> {
    message: &'static Message,
    field: &'static Field,
    /// `true` for a message in the field's array.
    is_element: bool,
    state: &'s mut Conversion<'l>,
}

impl FieldValue<'_, '_> {
    fn is_array(&self) -> bool {
        self.field.presence == Presence::Repeated && !self.is_element
    }
}

impl<'de> DeserializeSeed<'de> for FieldValue<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let problem = if self.is_array() { "is not an array" } else { "is not an object" };
        let Self { message, field, is_element, state } = self;
        let value = FieldValue { message, field, is_element, state: &mut *state };
        // A known reason remains, and a syntax error needs none.
        deserializer.deserialize_any(value).inspect_err(|_| {
            let _: D::Error = state.wrong(message, field, problem);
        })
    }
}

impl<'de> Visitor<'de> for FieldValue<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or object")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        // In an array of values `null` is an element, so later elements keep their positions.
        if self.is_element
            && let Kind::Message(inner) = self.field.kind
            && schema::is_any_value(inner)
        {
            Writer::new(&mut self.state.out).always_bytes(self.field.number, &[]);
            self.state.count_message()?;
        }
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let inner = match self.field.kind {
            Kind::Message(inner) if !self.is_array() => inner,
            _ => return Err(A::Error::custom(OTHER_TYPE)),
        };
        let state = self.state;
        let Some(depth_left) = state.depth_left.checked_sub(1) else {
            let too_deep = Malformed::TooDeep(state.limits.nesting);
            return Err(state.fail(JsonError::Malformed(too_deep)));
        };
        state.depth_left = depth_left;
        let content_at = begin_delimited(&mut state.out, self.field.number);
        state.fields(inner, map)?;
        end_delimited(&mut state.out, content_at);
        state.depth_left += 1;
        state.count_message()?;
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        if !self.is_array() {
            return Err(A::Error::custom(OTHER_TYPE));
        }
        let Self { message, field, state, .. } = self;
        match field.kind {
            Kind::Message(_) => {
                let mut next = || {
                    let state = &mut *state;
                    elements.next_element_seed(FieldValue {
                        message,
                        field,
                        is_element: true,
                        state,
                    })
                };
                while next()?.is_some() {}
            }
            Kind::String => {
                while let Some(raw) = elements.next_element::<&RawValue>()? {
                    let text = text(raw.get())
                        .ok_or_else(|| state.wrong(message, field, "is not text"))?;
                    Writer::new(&mut state.out).always_string(field.number, &text);
                    state.check_size(state.out.len())?;
                }
            }
            kind => {
                let mut packed = Vec::new();
                while let Some(raw) = elements.next_element::<&RawValue>()? {
                    scalar::packed(kind, raw.get(), &mut packed)
                        .map_err(|Unfit(problem)| state.wrong(message, field, problem))?;
                    state.check_size(packed.len())?;
                }
                Writer::new(&mut state.out).bytes(field.number, &packed);
            }
        }
        Ok(true)
    }
}

/// Returns `doubleValue` for a whole number in `intValue` that exceeds 64 bits. OpenTelemetry's SDK for JavaScript writes every
/// whole number as an integer.
fn double_for(message: &Message, field: &Field, raw: &str) -> Option<&'static Field> {
    let is_whole = raw.parse().is_ok_and(|number: f64| number.fract() == 0.0);
    let is_int = matches!(field.kind, Kind::Int64);
    if is_int && is_whole { message.field_of_key("doubleValue") } else { None }
}

/// Looks a key up without copying it.
pub(crate) struct KeyIn<F>(pub(crate) F);

impl<'de, T, F: FnOnce(&str) -> Option<T>> DeserializeSeed<'de> for KeyIn<F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for KeyIn<F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<T>, E> {
        Ok((self.0)(key))
    }
}
