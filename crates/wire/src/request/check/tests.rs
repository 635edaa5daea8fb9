//! The structural check compared with prost's: every message, field number and wire type.

#![cfg(feature = "decode")]

use super::*;
use crate::protobuf::{Writer, in_scope, push_varint};
use crate::request::Request;
use crate::signal::{Logs, Metrics, Signal, Traces};
use prost::Message as _;
use std::collections::BTreeMap;

/// The messages of all requests by name, with the field numbers of their paths.
fn messages() -> BTreeMap<(SignalKind, &'static str), (&'static Message, Vec<u32>)> {
    let mut found = BTreeMap::new();
    for kind in SignalKind::ALL {
        let mut waiting = vec![(schema::request(kind), Vec::new())];
        while let Some((message, path)) = waiting.pop() {
            if found.contains_key(&(kind, message.name)) {
                continue;
            }
            for field in message.fields {
                if let Kind::Message(inner) = field.kind {
                    waiting.push((inner, [path.as_slice(), &[field.number]].concat()));
                }
            }
            found.insert((kind, message.name), (message, path));
        }
    }
    found
}

fn decodes(kind: SignalKind, bytes: &[u8]) -> bool {
    match kind {
        SignalKind::Traces => <Traces as Signal>::Request::decode(bytes).is_ok(),
        SignalKind::Metrics => <Metrics as Signal>::Request::decode(bytes).is_ok(),
        SignalKind::Logs => <Logs as Signal>::Request::decode(bytes).is_ok(),
    }
}

/// Fields of this number with every wire type, and with each possible error.
fn fields(number: u32) -> Vec<Vec<u8>> {
    let tagged = |wire_type: u32, content: &[u8]| {
        let mut field = Vec::new();
        push_varint(&mut field, u64::from(number << 3 | wire_type));
        field.extend_from_slice(content);
        field
    };
    let mut fields: Vec<_> = [
        &[0u8][..],
        &[1],
        &[0x80, 0],
        &[0xff; 10],
        &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
    ]
    .into_iter()
    .map(|varint| tagged(0, varint))
    .collect();
    fields.extend([tagged(1, &[0xff; 8]), tagged(1, &[1; 7]), tagged(5, &[0xff; 4])]);
    fields.extend([3, 4, 6, 7].map(|wire_type| tagged(wire_type, &[])));
    for content in [
        &b""[..],
        b"zz",
        b"text!",
        &[0xff],
        &[0x08, 1],
        &[0x0a, 0],
        &[0x0a, 1, 0xff],
        &[0x80],
        &[1; 8],
        &[0xff; 9],
    ] {
        let length = u8::try_from(content.len()).unwrap();
        fields.push(tagged(2, &[&[length], content].concat()));
    }
    fields
}

#[test]
fn the_check_agrees_with_prost_on_every_field() {
    let mut passed = 0;
    for ((kind, name), (_, path)) in messages() {
        for number in 1..=20 {
            for field in fields(number) {
                let wrap = |inner: Vec<u8>, number: &u32| {
                    let mut outer = Vec::new();
                    Writer::new(&mut outer).always_bytes(*number, &inner);
                    outer
                };
                let bytes = path.iter().rev().fold(field.clone(), wrap);
                let decodes = decodes(kind, &bytes);
                let checked = Request::check(kind, bytes, &Limits::default());
                passed += usize::from(checked.is_ok());
                assert_eq!(checked.is_ok(), decodes, "{kind}, {name}, {field:x?}: {checked:?}");
            }
        }
    }
    assert!(passed > 10_000, "{passed}");
}

#[test]
fn requests_that_expand_to_too_many_messages_are_rejected() {
    let check = |bytes: Vec<u8>, limit: usize, passes: bool| {
        let limits = Limits { messages: limit, ..Limits::default() };
        let result = Request::check(SignalKind::Metrics, bytes, &limits);
        let expected = if passes { None } else { Some(Malformed::TooManyMessages(limit)) };
        assert_eq!(result.err(), expected, "{limit}");
    };
    let point = |write: &dyn Fn(&mut Writer<'_>)| {
        in_scope(|scope| {
            scope.message(2, |metric| metric.message(9, |data| data.message(1, |w| write(w))));
        })
    };
    // Container, scope, metric, histogram and data point are five.
    let attributes = point(&|point| (0..100).for_each(|_| point.message(9, |_| {})));
    check(attributes.clone(), 105, true);
    check(attributes, 104, false);
    let packed = point(&|point| point.packed_fixed64(6, [0; 100].into_iter()));
    check(packed.clone(), 55, true);
    check(packed, 54, false);
    let unpacked = point(&|point| (0..100).for_each(|_| point.always_fixed64(6, 0)));
    check(unpacked.clone(), 105, true);
    check(unpacked, 104, false);
    let mut keys = Vec::new();
    Writer::new(&mut keys).message(1, |container| {
        container.message(1, |resource| {
            resource.message(3, |entity| (0..100).for_each(|_| entity.always_string(3, "")));
        });
    });
    check(keys.clone(), 103, true);
    check(keys, 102, false);
    // The line that peaked at 537 MB: 7.9 million empty attributes.
    let empty = point(&|point| point.raw(&[0x4a, 0].repeat(7_900_000)));
    check(empty, Limits::default().messages, false);
}

#[test]
fn the_endpoint_decides_the_signal_of_ambiguous_items() {
    let bytes = in_scope(|scope| {
        scope.message(2, |record| record.message(5, |body| body.string(1, "text")));
    });
    let check = |named: Option<SignalKind>, expected: SignalKind| {
        let request = Request::check_any(named, bytes.clone(), &Limits::default()).unwrap();
        assert_eq!(request.kind(), expected, "{named:?}");
    };
    check(None, SignalKind::Traces);
    check(Some(SignalKind::Traces), SignalKind::Traces);
    check(Some(SignalKind::Logs), SignalKind::Logs);
}

#[test]
fn invalid_utf8_is_replaced_if_the_signal_is_named() {
    let record = |body: &[u8]| {
        in_scope(|scope| {
            scope.message(2, |record| {
                record.fixed64(1, 7);
                record.message(5, |value| value.bytes(1, body));
            });
        })
    };
    // Half a surrogate pair.
    let cut = record(b"cut \xed\xa0\xbd");
    let limits = Limits::default();
    let read = Request::check_any(Some(SignalKind::Logs), cut.clone(), &limits).unwrap();
    assert_eq!(read.bytes(), record("cut \u{fffd}\u{fffd}\u{fffd}".as_bytes()));
    assert!(Request::check_any(None, cut, &limits).is_err());
    let broken = [record(b"\xff"), vec![0x0a, 5, 1]].concat();
    assert!(Request::check_any(Some(SignalKind::Logs), broken, &limits).is_err());
}

#[test]
fn attributes_on_the_fast_path_obey_the_same_limits() {
    let check = |value: &[u8], nesting, messages, expected: bool| {
        let mut request = Vec::new();
        Writer::new(&mut request).message(1, |resource_spans| {
            resource_spans.message(1, |resource| {
                resource.message(1, |attribute| {
                    attribute.string(1, "key");
                    attribute.always_bytes(2, value);
                });
            });
        });
        let limits = Limits { nesting, messages, ..Limits::default() };
        let checked = Request::check(SignalKind::Traces, request, &limits);
        assert_eq!(checked.is_ok(), expected, "{value:x?} {nesting} {messages}: {checked:?}");
    };
    let text = |text: &str| {
        let mut value = Vec::new();
        Writer::new(&mut value).always_string(1, text);
        value
    };
    let int = [0x18, 0x81, 1].to_vec();
    for value in [text("short"), text(&"long".repeat(100)), text("é"), int, vec![0x10, 1]] {
        check(&value, 5, 4, true);
        check(&value, 4, 4, false);
        check(&value, 5, 3, false);
    }
    for wrong in [
        &[0x0a, 2, b'x'][..],
        &[0x0a, 1, 0xff],
        &[0x18],
        &[0x18, 0x80],
        &[0x18, 0x81],
        &[0x18, 1, 1],
        &[0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        &[0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
    ] {
        check(wrong, 5, 4, false);
    }
    check(&[0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], 5, 4, true);
}
