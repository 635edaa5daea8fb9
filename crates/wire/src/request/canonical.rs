//! Writes a request in its canonical form, which [`Request`](super::Request) describes.
//!
//! Protobuf lets a writer repeat a field that has one value, and its readers agree on the meaning: the last scalar counts, several
//! messages are one, and the last member of a `oneof` replaces the others (protobuf encoding, "Last One Wins"). Hardly any writer does
//! so. It is settled here, so that no reader of a request has to ask.

use crate::protobuf::{Field, Value, Writer, fields};
use crate::schema::{self, Kind, Message, Presence};
use crate::signal::SignalKind;
use crate::view::count;
use std::collections::HashMap;

/// Returns the request in its canonical form. Its bytes have passed the check.
pub(super) fn to_canonical(kind: SignalKind, request: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(request.len());
    let path = Path { kind, below: kind.path_to_items() };
    write_message(schema::request(kind), request, Some(path), &mut bytes);
    bytes
}

/// The way from a message down to the items.
#[derive(Clone, Copy)]
struct Path {
    kind: SignalKind,
    below: &'static [&'static [u32]],
}

impl Path {
    /// The way from the child with this field number on; `None` if no items are there.
    fn at_child(self, number: u32) -> Option<Self> {
        let (level, below) = self.below.split_first()?;
        level.contains(&number).then_some(Self { below, ..self })
    }
}

/// Returns `true` for the path below a resource or scope with its items, but not for that below a metric.
pub(super) fn is_of_container(kind: SignalKind, below: &[&[u32]]) -> bool {
    const LEVELS_OF_CONTAINERS: usize = 2;
    below.len() + LEVELS_OF_CONTAINERS >= kind.path_to_items().len()
}

/// A known field of a message, with all that the message says about it.
struct KnownField<'m> {
    number: u32,
    content: Content<'m>,
}

enum Content<'m> {
    Scalar(Value<'m>),
    /// A message in one or several pieces.
    Message(&'static Message, Vec<&'m [u8]>),
}

impl<'m> KnownField<'m> {
    fn new(kind: Kind, field: &Field<'m>) -> Self {
        let content = match (kind, field.value) {
            (Kind::Message(message), Value::Len(piece)) => Content::Message(message, vec![piece]),
            (_, value) => Content::Scalar(value),
        };
        Self { number: field.number, content }
    }

    /// Adds what the message says later about the same field, or about another member of its `oneof`.
    fn add(&mut self, later: Self) {
        match (&mut self.content, later) {
            (Content::Message(_, pieces), Self { number, content: Content::Message(_, more) })
                if number == self.number =>
            {
                pieces.extend(more);
            }
            (_, later) => *self = later,
        }
    }
}

/// Appends a message.
fn write_message(message: &Message, bytes: &[u8], path: Option<Path>, out: &mut Vec<u8>) {
    let mut known: Vec<KnownField<'_>> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut unknown = Vec::new();
    for field in fields(bytes) {
        let Some(schema) = message.field(field.number) else {
            unknown.extend_from_slice(field.raw);
            continue;
        };
        let own = KnownField::new(schema.kind, &field);
        if schema.presence == Presence::Repeated {
            known.push(own);
            continue;
        }
        let place = *places.entry(schema.slot).or_insert(known.len());
        match known.get_mut(place) {
            Some(earlier) => earlier.add(own),
            None => known.push(own),
        }
    }
    for KnownField { number, content } in known {
        match content {
            Content::Scalar(value) => Writer::new(out).value(number, value),
            Content::Message(message, pieces) => {
                let path = path.and_then(|path| path.at_child(number));
                let mut content = Vec::new();
                write_message(message, &pieces.concat(), path, &mut content);
                let is_empty = path.is_some_and(|Path { kind, below }| {
                    is_of_container(kind, below) && count(&content, below) == 0
                });
                if !is_empty {
                    Writer::new(out).always_bytes(number, &content);
                }
            }
        }
    }
    out.extend_from_slice(&unknown);
}

#[cfg(test)]
#[cfg(feature = "decode")]
mod tests {
    use super::*;
    use crate::protobuf::in_scope;
    use crate::random_request::Random;
    use crate::request::check::check;
    use crate::request::{Limits, Request};
    use crate::signal::{Logs, Metrics, Signal, Traces};
    use prost::Message as _;

    fn reencoded<S: Signal>(bytes: &[u8]) -> Vec<u8> {
        S::Request::decode(bytes).unwrap().encode_to_vec()
    }

    /// What prost reads, encoded again.
    fn read_by_prost(kind: SignalKind, bytes: &[u8]) -> Vec<u8> {
        match kind {
            SignalKind::Traces => reencoded::<Traces>(bytes),
            SignalKind::Logs => reencoded::<Logs>(bytes),
            SignalKind::Metrics => reencoded::<Metrics>(bytes),
        }
    }

    #[test]
    fn the_canonical_form_means_the_same_to_other_readers() {
        let mut changed = 0;
        for seed in 0..400 {
            let mut random = Random::new(seed * 1_000_000);
            random.repeats = true;
            let (kind, written) = random.written_request();
            let request = Request::check(kind, written.clone(), &Limits::default()).unwrap();
            // Containers without items go.
            let expected = to_canonical(kind, &read_by_prost(kind, &written));
            assert_eq!(read_by_prost(kind, request.bytes()), expected, "{seed}");
            let again = check(kind, request.bytes(), &Limits::default()).unwrap();
            assert!(again.is_canonical, "{seed}");
            assert_eq!(again.items, request.items(), "{seed}");
            changed += usize::from(request.bytes() != written);
        }
        assert!(changed > 100, "{changed}");
    }

    #[test]
    fn fields_of_later_versions_stay_behind_the_known_ones() {
        let span = |write: &dyn Fn(&mut Writer<'_>)| in_scope(|scope| scope.message(2, write));
        let repeated = span(&|span| {
            span.always_string(5, "first name");
            span.always_string(99, "later version");
            span.message(15, |status| status.string(2, "text"));
            span.always_string(5, "last name");
            span.message(15, |status| {
                status.varint(77, 7);
                status.varint(3, 2);
            });
        });
        let canonical = span(&|span| {
            span.always_string(5, "last name");
            span.message(15, |status| {
                status.string(2, "text");
                status.varint(3, 2);
                status.varint(77, 7);
            });
            span.always_string(99, "later version");
        });
        let limits = Limits::default();
        for written in [repeated, canonical.clone()] {
            let request = Request::check(SignalKind::Traces, written, &limits).unwrap();
            assert_eq!(request.bytes(), canonical);
        }
    }
}
