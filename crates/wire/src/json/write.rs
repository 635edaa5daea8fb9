//! Writes a request as OTLP/JSON with the tables of `schema`, without structs in between.
//!
//! Source: OTLP 1.x, "JSON Protobuf Encoding": lowerCamelCase keys, ids in hexadecimal, enums as numbers; ProtoJSON otherwise:
//! 64-bit integers as text, other bytes as base64, non-finite doubles by name.
//!
//! The serde of opentelemetry-proto's structs writes `null` for NaN and infinities, where ProtoJSON requires names, so a reader
//! loses those values. It also writes `null` for absent messages and numbers, and zero values that ProtoJSON omits: sixteen
//! fields for a span with four.

use crate::ids::to_hex;
use crate::protobuf::{self, Value, fields, packed_varints};
use crate::request::Request;
use crate::schema::{self, Field, Kind, Message, Presence};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{Display, Write as _};

/// Deeper than any checked request.
const MAX_NESTING: usize = 100;

impl Request {
    /// Returns the request as OTLP/JSON on one line. Fields unknown to OTLP are omitted, and so are zeros that mean absent.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.bytes().len() * 3);
        message(schema::request(self.kind()), self.bytes(), MAX_NESTING, &mut out);
        out
    }
}

fn message(message: &'static Message, bytes: &[u8], depth_left: usize, out: &mut String) {
    out.push('{');
    let mut is_first = true;
    for field in message.fields {
        let start = out.len();
        if !is_first {
            out.push(',');
        }
        push(out, format_args!("\"{}\":", field.name));
        let values = fields(bytes).filter(|value| value.number == field.number);
        if write_field(field, values, depth_left, out) {
            is_first = false;
        } else {
            out.truncate(start);
        }
    }
    out.push('}');
}

/// Writes the value of a field. Returns `false` if it is absent.
fn write_field<'b>(
    field: &Field,
    mut values: impl Iterator<Item = protobuf::Field<'b>>,
    depth_left: usize,
    out: &mut String,
) -> bool {
    match (field.kind, field.presence) {
        (kind, Presence::Repeated) => {
            let start = out.len();
            out.push('[');
            let empty = out.len();
            values.for_each(|field| elements(kind, field.value, depth_left, out));
            out.push(']');
            out.len() > empty + 1 || {
                out.truncate(start);
                false
            }
        }
        (Kind::Message(inner), _) => values
            .find_map(|field| field.as_len())
            .is_some_and(|content| nested(inner, content, depth_left, out)),
        (kind, presence) => values.next().is_some_and(|field| {
            let is_written = presence != Presence::Implicit || !is_zero(field.value);
            is_written && scalar(kind, field.value, out)
        }),
    }
}

fn nested(inner: &'static Message, bytes: &[u8], depth_left: usize, out: &mut String) -> bool {
    let Some(depth_left) = depth_left.checked_sub(1) else { return false };
    message(inner, bytes, depth_left, out);
    true
}

/// Writes one field's contribution to an array: an element, or several packed ones.
fn elements(kind: Kind, value: Value<'_>, depth_left: usize, out: &mut String) {
    let mut element = |write: &mut dyn FnMut(&mut String) -> bool| {
        let start = out.len();
        if !out.ends_with('[') {
            out.push(',');
        }
        if !write(out) {
            out.truncate(start);
        }
    };
    match (kind, value) {
        (Kind::Message(inner), Value::Len(bytes)) => {
            element(&mut |out| nested(inner, bytes, depth_left, out));
        }
        (Kind::Fixed64 | Kind::Double, Value::Len(packed)) => {
            for bytes in packed.as_chunks::<8>().0 {
                let value = Value::Fixed64(u64::from_le_bytes(*bytes));
                element(&mut |out| scalar(kind, value, out));
            }
        }
        (Kind::Uint64, Value::Len(packed)) => {
            for value in packed_varints(packed).map_while(Result::ok) {
                element(&mut |out| scalar(kind, Value::Varint(value), out));
            }
        }
        _ => element(&mut |out| scalar(kind, value, out)),
    }
}

/// Writes one scalar. Returns `false` for another wire type, which no checked request has.
fn scalar(kind: Kind, value: Value<'_>, out: &mut String) -> bool {
    // 32-bit integers use the low half, as in any protobuf reader.
    let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
    match (kind, value) {
        (Kind::Bool, Value::Varint(value)) => push(out, value != 0),
        (Kind::Int32 | Kind::Enum(_), Value::Varint(value)) => {
            push(out, low(value).cast_signed());
        }
        (Kind::Uint32, Value::Varint(value)) => push(out, low(value)),
        (Kind::Sint32, Value::Varint(value)) => {
            let zigzag = low(value);
            push(out, (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
        }
        (Kind::Fixed32, Value::Fixed32(value)) => push(out, value),
        (Kind::Int64, Value::Varint(value)) | (Kind::Sfixed64, Value::Fixed64(value)) => {
            push(out, format_args!("\"{}\"", value.cast_signed()));
        }
        (Kind::Uint64, Value::Varint(value)) | (Kind::Fixed64, Value::Fixed64(value)) => {
            push(out, format_args!("\"{value}\""));
        }
        (Kind::Double, Value::Fixed64(bits)) => double(f64::from_bits(bits), out),
        (Kind::String, Value::Len(text)) => json_string(&String::from_utf8_lossy(text), out),
        (Kind::Bytes, Value::Len(bytes)) => {
            push(out, format_args!("\"{}\"", STANDARD.encode(bytes)));
        }
        (Kind::Id, Value::Len(bytes)) => push(out, format_args!("\"{}\"", to_hex(bytes))),
        _ => return false,
    }
    true
}

fn double(value: f64, out: &mut String) {
    match value {
        _ if value.is_nan() => out.push_str("\"NaN\""),
        f64::INFINITY => out.push_str("\"Infinity\""),
        f64::NEG_INFINITY => out.push_str("\"-Infinity\""),
        // The shortest digits that parse to the same number.
        _ => push(out, format_args!("{value:?}")),
    }
}

fn json_string(text: &str, out: &mut String) {
    // Serializing a string into memory cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned()));
}

/// Returns `true` if proto3 treats the value as absent.
fn is_zero(value: Value<'_>) -> bool {
    match value {
        Value::Varint(value) | Value::Fixed64(value) => value == 0,
        Value::Fixed32(value) => value == 0,
        Value::Len(bytes) => bytes.is_empty(),
    }
}

fn push(out: &mut String, value: impl Display) {
    // Writing to memory cannot fail.
    write!(out, "{value}").unwrap_or_default();
}
