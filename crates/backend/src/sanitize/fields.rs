//! Reads fields of encoded telemetry without decoding the rest.

use wire::protobuf::{Field, Reader, messages, plain_attribute};

// Field numbers: opentelemetry-proto 1.x, `common/v1/common.proto`, and the structure shared by all signals: a request holds
// containers (`ResourceSpans`, `ResourceLogs`, `ResourceMetrics`) with a resource and scopes, and scopes hold items.
pub(super) const CONTAINER: u32 = 1;
pub(super) const RESOURCE: u32 = 1;
pub(super) const SCOPE: u32 = 2;
pub(super) const ITEM: u32 = 2;
pub(super) const RESOURCE_ATTRIBUTE: u32 = 1;
pub(super) const KEY: u32 = 1;
pub(super) const VALUE: u32 = 2;
pub(super) const STRING: u32 = 1;
pub(super) const DOUBLE: u32 = 4;
pub(super) const ARRAY: u32 = 5;
pub(super) const MAP: u32 = 6;
pub(super) const BYTES: u32 = 7;
pub(super) const ARRAY_VALUE: u32 = 1;
pub(super) const MAP_ENTRY: u32 = 1;

#[inline]
pub(super) fn key_and_value(attribute: &[u8]) -> (&[u8], &[u8]) {
    match plain_attribute(attribute) {
        Some(plain) => plain,
        None => any_key_and_value(attribute),
    }
}

#[inline(never)]
fn any_key_and_value(attribute: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(attribute) {
        match (field.number, field.as_len()) {
            (KEY, Some(bytes)) => key = bytes,
            // Readers combine a value that is encoded in several pieces; one piece with a map makes it a map.
            (VALUE, Some(bytes)) if !holds_map(value) => value = bytes,
            _ => {}
        }
    }
    (key, value)
}

/// Returns `false` if an attribute's value is text, a number or a Boolean, as most are.
#[inline]
pub(super) fn may_nest(value: &[u8]) -> bool {
    // The first byte has the number and the type of the first field; encoders write only one.
    !matches!(value, [] | [0x0a | 0x10 | 0x18 | 0x21, ..])
}

/// Returns `true` if an attribute's value is a map.
#[inline]
pub(super) fn holds_map(value: &[u8]) -> bool {
    // Most values are text, which one comparison detects.
    let is_text =
        matches!(value, [0x0a, len @ ..0x80, text @ ..] if text.len() == usize::from(*len));
    !is_text && messages(value, MAP).next().is_some()
}

pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Reader::new(message).map_while(Result::ok)
}
