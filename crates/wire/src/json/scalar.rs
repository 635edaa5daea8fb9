//! Converts one scalar of OTLP/JSON text to protobuf.
//!
//! Numbers are parsed from their digits, so that 64-bit integers and doubles are exact.

use crate::base64;
use crate::protobuf::{Writer, push_varint};
use crate::schema::{Enum, Field, Kind, Presence};
use serde::Deserializer as _;
use std::borrow::Cow;

/// The problem of a value that does not fit its field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfit(pub(crate) &'static str);

/// Appends `field` with the value of the JSON text `raw`.
pub(crate) fn write(field: &Field, raw: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let number = field.number;
    let written = field.presence != Presence::Implicit;
    let mut out = Writer::new(out);
    match field.kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Enum(_) => {
            match varint(field.kind, raw)? {
                0 if !written => {}
                value => out.always_varint(number, value),
            }
        }
        Kind::Sint32 => out.sint32(number, integer(raw).ok_or(INT32)?),
        Kind::Fixed32 => out.fixed32(number, integer(raw).ok_or(UINT32)?),
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => match fixed64(field.kind, raw)? {
            0 if !written => {}
            value => out.always_fixed64(number, value),
        },
        Kind::String => {
            let text = text(raw).ok_or(Unfit("is not text"))?;
            if written || !text.is_empty() {
                out.always_string(number, &text);
            }
        }
        Kind::Bytes => {
            let bytes = text(raw)
                .and_then(|text| base64::decode_any(&text))
                .ok_or(Unfit("is not base64"))?;
            if written || !bytes.is_empty() {
                out.always_bytes(number, &bytes);
            }
        }
        Kind::Id => out.bytes(number, &id(raw).ok_or(Unfit("is not an id in hexadecimal"))?),
        Kind::Message(_) => return Err(Unfit("is not an object")),
    }
    Ok(())
}

pub(crate) fn packed(kind: Kind, raw: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if matches!(kind, Kind::Fixed64 | Kind::Double) {
        out.extend_from_slice(&fixed64(kind, raw)?.to_le_bytes());
    } else {
        push_varint(out, varint(kind, raw)?);
    }
    Ok(())
}

const INT32: Unfit = Unfit("is not a 32-bit integer");
const UINT32: Unfit = Unfit("is not an unsigned 32-bit integer");
const INT64: Unfit = Unfit("is not a 64-bit integer");
const UINT64: Unfit = Unfit("is not an unsigned 64-bit integer");

fn varint(kind: Kind, raw: &str) -> Result<u64, Unfit> {
    match kind {
        Kind::Bool => match raw {
            "true" => Ok(1),
            "false" => Ok(0),
            _ => Err(Unfit("is not true or false")),
        },
        Kind::Int32 => integer::<i32>(raw).map(sign_extended).ok_or(INT32),
        Kind::Int64 => integer::<i64>(raw).map(i64::cast_unsigned).ok_or(INT64),
        Kind::Uint32 => integer::<u32>(raw).map(u64::from).ok_or(UINT32),
        Kind::Enum(names) => enumeration(names, raw),
        _ => integer(raw).ok_or(UINT64),
    }
}

/// Negative 32-bit integers take ten bytes.
fn sign_extended(value: i32) -> u64 {
    i64::from(value).cast_unsigned()
}

/// A number or a name. An unknown name belongs to a later version and means unspecified.
fn enumeration(known: &Enum, raw: &str) -> Result<u64, Unfit> {
    if let Some(number) = integer::<i32>(raw) {
        return Ok(sign_extended(number));
    }
    let name = text(raw).ok_or(Unfit("is not a number or a name of the enumeration"))?;
    let found = name
        .strip_prefix(known.prefix)
        .and_then(|name| known.names.iter().position(|known| *known == name));
    Ok(found.map_or(0, |at| at as u64 + 1))
}

fn fixed64(kind: Kind, raw: &str) -> Result<u64, Unfit> {
    match kind {
        Kind::Double => double(raw).map(f64::to_bits).ok_or(Unfit("is not a number")),
        Kind::Sfixed64 => integer::<i64>(raw).map(i64::cast_unsigned).ok_or(INT64),
        _ => integer(raw).ok_or(UINT64),
    }
}

/// An integer as a number or string; also `1.0` and `1e3`, which ProtoJSON allows.
fn integer<T: TryFrom<i128>>(raw: &str) -> Option<T> {
    let digits = digits(raw)?;
    let exact = digits.parse::<i128>().ok();
    let integer = exact.or_else(|| {
        let number = digits.parse::<f64>().ok().filter(|number| number.fract() == 0.0)?;
        // All digits of it, without an exponent.
        format!("{number}").parse().ok()
    })?;
    integer.try_into().ok()
}

fn double(raw: &str) -> Option<f64> {
    match raw {
        "\"NaN\"" => Some(f64::NAN),
        "\"Infinity\"" => Some(f64::INFINITY),
        "\"-Infinity\"" => Some(f64::NEG_INFINITY),
        _ => digits(raw)?.parse::<f64>().ok().filter(|number| number.is_finite()),
    }
}

fn digits(raw: &str) -> Option<&str> {
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    is_number.then_some(text)
}

/// The bytes of an id in hexadecimal, in either case. Padded base64 of the right length is accepted too: ProtoJSON printers
/// without OTLP support write ids like other bytes, and `=` is not a hexadecimal digit.
fn id(raw: &str) -> Option<Vec<u8>> {
    let text = text(raw)?;
    if text.ends_with('=') {
        return base64::decode_any(&text).filter(|id| id.len() == 16 || id.len() == 8);
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// The content of a JSON string; `None` for other JSON.
///
/// Half a surrogate pair, which JavaScript writes if it cuts a text within a character, becomes U+FFFD.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let content = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Some(Cow::Borrowed(content));
    }
    let whole = serde_json::from_str::<String>(raw).ok();
    whole.or_else(|| lossy(raw)).map(Cow::Owned)
}

fn lossy(raw: &str) -> Option<String> {
    struct Lossy;
    impl serde::de::Visitor<'_> for Lossy {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("text")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    serde_json::Deserializer::from_str(raw).deserialize_bytes(Lossy).ok()
}
