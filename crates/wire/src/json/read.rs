//! Converts OTLP/JSON to protobuf with the tables of `schema`, without structs in between.
//!
//! Source: OTLP 1.x, "JSON Protobuf Encoding", and the underlying ProtoJSON format
//! (<https://protobuf.dev/programming-guides/json/>). Unambiguous deviations of writers are accepted, ambiguous ones refused;
//! `docs/line-format.md` has the list. opentelemetry-proto's structs refuse doubles as text, integers as `1.0`, names of
//! enumerations, half a surrogate pair and `null`, and take the last of two values.

use super::JsonError;
use super::scalar::{self, text};
use crate::protobuf::{Writer, delimited, push_varint};
use crate::request::{Limits, Malformed, Request};
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
    let mut state = State { limits, messages: 0, failure: None };
    let mut parser = serde_json::Deserializer::from_str(json);
    let signals = Signals { kinds, state: &mut state };
    let read = parser.deserialize_map(signals).and_then(|read| parser.end().map(|()| read));
    let messages = read.map_err(|error| match (error.classify(), state.failure) {
        (Category::Data, Some(failure)) => failure,
        (Category::Data, None) => JsonError::NotAnObject,
        // Only type errors contain content.
        _ => JsonError::Syntax(error.to_string()),
    })?;
    let checked = messages.into_iter().map(|(kind, bytes)| Request::check(kind, bytes, limits));
    checked.collect::<Result<_, _>>().map_err(JsonError::Malformed)
}

/// A key in one spelling or both, which is ambiguous.
const TWICE: &str = "occurs twice";

/// State shared by all levels: limits, and the reason why reading stopped. serde's own errors quote the content, so they only
/// signal the failure.
struct State<'l> {
    limits: &'l Limits,
    messages: usize,
    failure: Option<JsonError>,
}

impl State<'_> {
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
            Err(self.fail(JsonError::Malformed(Malformed::TooManyMessages(allowed))))
        } else {
            Ok(())
        }
    }

    fn check_size<E: Error>(&mut self, out: &[u8]) -> Result<(), E> {
        let max_bytes = self.limits.inflated_bytes;
        if out.len() > max_bytes {
            Err(self.fail(JsonError::TooLarge { max_bytes }))
        } else {
            Ok(())
        }
    }
}

/// Reads the outermost object: each signal's key into a request of its own.
struct Signals<'s, 'l> {
    kinds: &'s [SignalKind],
    state: &'s mut State<'l>,
}

impl<'de> Visitor<'de> for Signals<'_, '_> {
    type Value = Vec<(SignalKind, Vec<u8>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut requests: Self::Value = Vec::new();
        while let Some(found) = map.next_key_seed(KeyIn(|key: &str| {
            let kind = signal_of_key(key).filter(|kind| self.kinds.contains(kind))?;
            let message = schema::request(kind);
            Some((kind, message, message.field_of_key(key)?))
        }))? {
            let Some((kind, message, field)) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if requests.iter().any(|(known, _)| *known == kind) {
                return Err(self.state.wrong(message, field, TWICE));
            }
            let mut out = Vec::new();
            let depth_left = self.state.limits.nesting.saturating_sub(1);
            let into = FieldTarget { message, field, depth_left, out: &mut out, state: self.state };
            if map.next_value_seed(Repeated(into))? {
                requests.push((kind, out));
            }
        }
        Ok(requests)
    }
}

struct FieldTarget<'s, 'l> {
    /// The message that has the field.
    message: &'static Message,
    field: &'static Field,
    /// Remaining nesting levels below `message`.
    depth_left: usize,
    out: &'s mut Vec<u8>,
    state: &'s mut State<'l>,
}

impl FieldTarget<'_, '_> {
    fn wrong<E: Error>(&mut self, problem: &'static str) -> E {
        self.state.wrong(self.message, self.field, problem)
    }

    /// Appends the field with the message that `read` reads into it, and removes it again if `read` returns `false` for an absent
    /// message.
    fn message<E: Error>(
        &mut self,
        inner: &'static Message,
        read: impl FnOnce(Fields<'_, '_>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            let too_deep = Malformed::TooDeep(self.state.limits.nesting);
            return Err(self.state.fail(JsonError::Malformed(too_deep)));
        };
        let (start, state) = (self.out.len(), &mut *self.state);
        let mut found = Ok(false);
        delimited(self.out, self.field.number, |out| {
            found = read(Fields { message: inner, depth_left, out, state });
        });
        match found {
            Ok(true) => {
                self.state.count_message()?;
                self.state.check_size(self.out)?;
            }
            Ok(false) => self.out.truncate(start),
            // A known reason remains, and a syntax error needs none.
            Err(error) => {
                let _: E = self.wrong("is not an object");
                return Err(error);
            }
        }
        found
    }
}

/// Reads the fields of one message. Returns `false` for `null`, which means absent.
struct Fields<'s, 'l> {
    message: &'static Message,
    depth_left: usize,
    out: &'s mut Vec<u8>,
    state: &'s mut State<'l>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Self { message, depth_left, out, state } = self;
        let mut seen = 0u32;
        let mut chosen = false;
        while let Some(field) = map.next_key_seed(KeyIn(|key: &str| message.field_of_key(key)))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let into =
                FieldTarget { message, field, depth_left, out: &mut *out, state: &mut *state };
            if !read_field(into, &mut map)? {
                continue;
            }
            let bit = 1 << field.number;
            if seen & bit != 0 {
                return Err(state.wrong(message, field, TWICE));
            }
            seen |= bit;
            if field.presence == Presence::Oneof && std::mem::replace(&mut chosen, true) {
                return Err(state.wrong(message, field, "is a second value where one is allowed"));
            }
            state.check_size(out)?;
        }
        Ok(true)
    }
}

/// Reads the value of one field. Returns `false` for `null`, which means absent.
fn read_field<'de, A: MapAccess<'de>>(
    mut into: FieldTarget<'_, '_>,
    map: &mut A,
) -> Result<bool, A::Error> {
    match (into.field.presence, into.field.kind) {
        (Presence::Repeated, _) => map.next_value_seed(Repeated(into)),
        (_, Kind::Message(inner)) => into.message(inner, |fields| map.next_value_seed(fields)),
        _ => {
            let raw = map.next_value::<&RawValue>()?.get();
            if raw == "null" {
                return Ok(false);
            }
            let written = scalar::write(into.field, raw, into.out).or_else(|problem| {
                let double = double_for(into.message, into.field, raw).ok_or(problem)?;
                scalar::write(double, raw, into.out)
            });
            written.map(|()| true).map_err(|problem| into.wrong(problem))
        }
    }
}

/// Returns `doubleValue` for a whole number in `intValue` that exceeds 64 bits. OpenTelemetry's SDK for JavaScript writes every
/// whole number as an integer.
fn double_for(message: &Message, field: &Field, raw: &str) -> Option<&'static Field> {
    let is_whole = raw.parse().is_ok_and(|number: f64| number.fract() == 0.0);
    let is_int = matches!(field.kind, Kind::Int64);
    if is_int && is_whole { message.field_of_key("doubleValue") } else { None }
}

/// Reads an array. Returns `false` for `null`, which means absent.
struct Repeated<'s, 'l>(FieldTarget<'s, 'l>);

impl<'de> DeserializeSeed<'de> for Repeated<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self(FieldTarget { message, field, depth_left, out, state }) = self;
        let into = FieldTarget { message, field, depth_left, out, state: &mut *state };
        let read = deserializer.deserialize_any(Repeated(into));
        read.inspect_err(|_| {
            let _: D::Error = state.wrong(message, field, "is not an array");
        })
    }
}

impl<'de> Visitor<'de> for Repeated<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let Self(mut into) = self;
        match into.field.kind {
            Kind::Message(inner) => while read_element(&mut into, inner, &mut elements)? {},
            Kind::String => {
                while let Some(raw) = elements.next_element::<&RawValue>()? {
                    let text = text(raw.get()).ok_or_else(|| into.wrong("is not text"))?;
                    Writer::new(into.out).always_string(into.field.number, &text);
                    into.state.check_size(into.out)?;
                }
            }
            _ => read_packed(&mut into, &mut elements)?,
        }
        Ok(true)
    }
}

/// Reads one message of an array. Returns `false` at its end.
fn read_element<'de, A: SeqAccess<'de>>(
    into: &mut FieldTarget<'_, '_>,
    inner: &'static Message,
    elements: &mut A,
) -> Result<bool, A::Error> {
    let mut at_end = false;
    into.message(inner, |fields| {
        Ok(match elements.next_element_seed(fields)? {
            // In an array of values `null` is an element, so later elements keep their positions.
            Some(false) => schema::is_any_value(inner),
            Some(true) => true,
            None => {
                at_end = true;
                false
            }
        })
    })?;
    Ok(!at_end)
}

fn read_packed<'de, A: SeqAccess<'de>>(
    into: &mut FieldTarget<'_, '_>,
    elements: &mut A,
) -> Result<(), A::Error> {
    let mut packed = Vec::new();
    while let Some(raw) = elements.next_element::<&RawValue>()? {
        match scalar::packed(into.field.kind, raw.get(), &mut packed) {
            Ok(()) => into.state.check_size(&packed)?,
            Err(problem) => return Err(into.wrong(problem)),
        }
    }
    if !packed.is_empty() {
        push_varint(into.out, u64::from(into.field.number << 3 | 2));
        push_varint(into.out, packed.len() as u64);
        into.out.extend_from_slice(&packed);
    }
    Ok(())
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
