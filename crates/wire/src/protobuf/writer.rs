//! Appends fields to a message, in the order of the calls.

use super::Value;
use crate::field::{any_value, key_value};

/// Appends protobuf fields to a buffer, in the order of the calls.
///
/// Scalars of value zero and empty strings are left out, as proto3 does; use the `always_`
/// methods for `optional` and `oneof` fields.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Appends a raw field, as returned by [`Field::raw`](super::Field::raw).
    pub fn raw(&mut self, field: &[u8]) {
        self.out.extend_from_slice(field);
    }

    /// `uint32`, `uint64`, `int64` (as two's complement), `bool` and enum fields.
    pub fn varint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.always_varint(number, value);
        }
    }

    pub fn always_varint(&mut self, number: u32, value: u64) {
        push_tag(self.out, number, 0);
        push_varint(self.out, value);
    }

    /// `sint32` fields (zigzag).
    pub fn sint32(&mut self, number: u32, value: i32) {
        let zigzag = (value.cast_unsigned() << 1) ^ (value >> 31).cast_unsigned();
        self.varint(number, u64::from(zigzag));
    }

    pub fn fixed64(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.always_fixed64(number, value);
        }
    }

    /// Like [`fixed64`](Self::fixed64), written even when zero; also `sfixed64`.
    pub fn always_fixed64(&mut self, number: u32, value: u64) {
        push_tag(self.out, number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn fixed32(&mut self, number: u32, value: u32) {
        if value != 0 {
            self.always_fixed32(number, value);
        }
    }

    fn always_fixed32(&mut self, number: u32, value: u32) {
        push_tag(self.out, number, 5);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A field of any type, written even when it is zero or empty.
    pub(crate) fn value(&mut self, number: u32, value: Value<'_>) {
        match value {
            Value::Varint(value) => self.always_varint(number, value),
            Value::Fixed64(value) => self.always_fixed64(number, value),
            Value::Len(bytes) => self.always_bytes(number, bytes),
            Value::Fixed32(value) => self.always_fixed32(number, value),
        }
    }

    /// `optional double` and `oneof` double fields: written even when zero.
    pub fn always_double(&mut self, number: u32, value: f64) {
        self.always_fixed64(number, value.to_bits());
    }

    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.always_bytes(number, value);
        }
    }

    #[inline]
    pub fn always_bytes(&mut self, number: u32, value: &[u8]) {
        self.begin_message(number, value.len());
        self.out.extend_from_slice(value);
    }

    /// The head of a message field of this length; the caller appends its content.
    #[inline]
    pub(crate) fn begin_message(&mut self, number: u32, len: usize) {
        push_tag(self.out, number, 2);
        push_varint(self.out, len as u64);
    }

    pub fn concatenated(&mut self, number: u32, first: &[u8], second: &[u8]) {
        self.begin_message(number, first.len() + second.len());
        self.raw(first);
        self.raw(second);
    }

    pub fn string(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    pub fn always_string(&mut self, number: u32, value: &str) {
        self.always_bytes(number, value.as_bytes());
    }

    /// Packed `repeated fixed64` and `repeated double` (as bits) fields.
    pub fn packed_fixed64(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() > 0 {
            self.begin_message(number, values.len() * 8);
            for value in values {
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Packed `repeated uint64` fields.
    pub fn packed_varint(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() > 0 {
            delimited(self.out, number, |out| {
                for value in values {
                    push_varint(out, value);
                }
            });
        }
    }

    /// A message field, written even when the message is empty.
    pub fn message(&mut self, number: u32, write: impl FnOnce(&mut Writer<'_>)) {
        delimited(self.out, number, |out| write(&mut Writer::new(out)));
    }

    /// A message field with a struct of opentelemetry-proto.
    #[cfg(feature = "decode")]
    pub fn encoded(&mut self, number: u32, message: &impl prost::Message) {
        // Encoding into memory cannot fail.
        delimited(self.out, number, |out| message.encode(out).unwrap_or_default());
    }

    /// A `KeyValue` with a text.
    pub fn text_attribute(&mut self, number: u32, key: &str, text: &str) {
        self.message(number, |pair| {
            pair.always_string(key_value::KEY, key);
            pair.message(key_value::VALUE, |value| value.always_string(any_value::STRING, text));
        });
    }
}

/// Bytes of a length-delimited field whose content has `len`.
pub(crate) fn len_of_delimited(number: u32, len: usize) -> usize {
    varint_len(u64::from(number << 3)) + varint_len(len as u64) + len
}

pub(crate) fn varint_len(value: u64) -> usize {
    ((value | 1).ilog2() as usize) / 7 + 1
}

/// Appends a length-delimited field whose content is written by `write`.
#[inline]
pub(crate) fn delimited(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let content_at = begin_delimited(out, number);
    write(out);
    end_delimited(out, content_at);
}

/// Begins a length-delimited field, and returns the position of its content.
#[inline]
pub(crate) fn begin_delimited(out: &mut Vec<u8>, number: u32) -> usize {
    push_tag(out, number, 2);
    // One byte is reserved for the length; a longer length moves the content, which is cheaper than a first pass that only
    // measures.
    out.push(0);
    out.len()
}

/// Ends the field whose content begins there.
#[inline]
pub(crate) fn end_delimited(out: &mut Vec<u8>, content_at: usize) {
    let len = out.len() - content_at;
    match out.get_mut(content_at - 1) {
        Some(byte) if len < 0x80 => *byte = low_byte(len as u64),
        _ => lengthen(out, content_at, len),
    }
}

/// Replaces a reserved byte by a longer length.
#[cold]
fn lengthen(out: &mut Vec<u8>, content_at: usize, len: usize) {
    let length_at = content_at - 1;
    let more = varint_len(len as u64) - 1;
    out.resize(out.len() + more, 0);
    out.copy_within(content_at..content_at + len, content_at + more);
    let mut left = len as u64;
    for byte in out.iter_mut().skip(length_at).take(more) {
        *byte = low_byte(left) | 0x80;
        left >>= 7;
    }
    if let Some(last) = out.get_mut(length_at + more) {
        *last = low_byte(left);
    }
}

#[inline]
pub(crate) fn push_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    push_varint(out, u64::from(number << 3 | wire_type));
}

#[inline]
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}
