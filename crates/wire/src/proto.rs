//! Reads and writes protobuf fields one by one, without generated types and without copies.
//!
//! The wire format is <https://protobuf.dev/programming-guides/encoding/>. Groups (wire types 3
//! and 4) do not occur in OTLP and are refused.

use std::fmt;

/// What a field holds, by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0: integers, booleans, enums.
    Varint(u64),
    /// Wire type 1: `fixed64`, `sfixed64`, `double`.
    Fixed64(u64),
    /// Wire type 2: strings, bytes, messages, packed repeated fields.
    Len(&'a [u8]),
    /// Wire type 5: `fixed32`, `float`.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// The field number.
    pub number: u32,
    /// The decoded value.
    pub value: Value<'a>,
    /// Tag and value as they stand in the message: appending `raw` to another message of the
    /// same type adds the field to it.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field.
    pub fn as_len(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Len(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Why bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadField {
    /// The message ends inside a field.
    Truncated,
    /// A varint of more than ten bytes, or a field number out of range.
    BadVarint,
    /// A wire type that OTLP does not use.
    BadWireType(u8),
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("message ends inside a field"),
            Self::BadVarint => f.write_str("invalid varint or field number"),
            Self::BadWireType(wire_type) => {
                write!(f, "wire type {wire_type} does not occur in OTLP")
            }
        }
    }
}

impl std::error::Error for BadField {}

/// Iterates over the fields of one message; ends after the first error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the fields of `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, BadField> {
        // Nearly all tags and lengths have one byte.
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, BadField> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                return Err(BadField::BadVarint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() >= 10 { BadField::BadVarint } else { BadField::Truncated })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BadField> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(BadField::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadField> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(BadField::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next field, of whatever form.
    #[inline(never)]
    fn any_field(&mut self) -> Option<Result<Field<'a>, BadField>> {
        let start = self.rest;
        let [tag, behind @ ..] = start else { return None };
        // Times, small numbers, and messages of up to 16 KiB.
        let common = match (tag & 7, behind) {
            _ if !(0x08..0x80).contains(tag) => None,
            (1, behind) => behind
                .split_first_chunk()
                .map(|(value, rest)| (Value::Fixed64(u64::from_le_bytes(*value)), rest)),
            (0, [value @ ..0x80, rest @ ..]) => Some((Value::Varint(u64::from(*value)), rest)),
            (2, [low, high @ ..0x80, behind @ ..]) if *low >= 0x80 => {
                let len = usize::from(*high) << 7 | usize::from(*low & 0x7f);
                behind.split_at_checked(len).map(|(content, rest)| (Value::Len(content), rest))
            }
            _ => None,
        };
        if let Some((value, rest)) = common {
            self.rest = rest;
            let raw = start.get(..start.len() - rest.len()).unwrap_or_default();
            return Some(Ok(Field { number: u32::from(tag >> 3), value, raw }));
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, BadField> {
        let start = self.rest;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| BadField::BadVarint)?;
        if number == 0 || number > 0x1fff_ffff {
            return Err(BadField::BadVarint);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| BadField::Truncated)?;
                Value::Len(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(BadField::BadWireType(u8::try_from(other).unwrap_or(u8::MAX))),
        };
        let raw = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        Ok(Field { number, value, raw })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Field<'a>, BadField>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Nearly all fields, so that a loop over them calls nothing: tag and length of one byte each.
        let start = self.rest;
        if let [tag @ 0x08..0x80, len @ ..0x80, behind @ ..] = start
            && tag & 7 == 2
            && let Some((content, rest)) = behind.split_at_checked(usize::from(*len))
        {
            self.rest = rest;
            let raw = start.get(..2 + usize::from(*len)).unwrap_or_default();
            let number = u32::from(tag >> 3);
            return Some(Ok(Field { number, value: Value::Len(content), raw }));
        }
        self.any_field()
    }
}

/// Key and value of an attribute that is written as all writers do: a `KeyValue` of key and value, in this order, and nothing
/// else, each shorter than 128 bytes. `None` says nothing: read the fields.
#[inline]
pub fn plain_attribute(key_value: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, len @ ..0x80, rest @ ..] = key_value else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*len))?;
    let [0x12, len @ ..0x80, value @ ..] = rest else { return None };
    (value.len() == usize::from(*len)).then_some((key, value))
}

/// The bare varints of a packed repeated field; ends after the first error.
pub(crate) fn packed_varints(bytes: &[u8]) -> impl Iterator<Item = Result<u64, BadField>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let varint = (!reader.rest.is_empty()).then(|| reader.varint())?;
        if varint.is_err() {
            reader.rest = &[];
        }
        Some(varint)
    })
}

/// Appends protobuf fields to a buffer, in the order of the calls.
///
/// Scalars of value zero and empty strings are left out, as proto3 does; use the `always_`
/// methods for `optional` and `oneof` fields.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A raw field as [`Field::raw`] gives it.
    pub fn raw(&mut self, field: &[u8]) {
        self.out.extend_from_slice(field);
    }

    /// `uint32`, `uint64`, `int64` (as two's complement), `bool` and enum fields.
    pub fn varint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.always_varint(number, value);
        }
    }

    /// Like [`varint`](Self::varint), written even when zero.
    pub fn always_varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        push_varint(self.out, value);
    }

    /// `sint32` fields (zigzag).
    pub fn sint32(&mut self, number: u32, value: i32) {
        let zigzag = (value.cast_unsigned() << 1) ^ (value >> 31).cast_unsigned();
        self.varint(number, u64::from(zigzag));
    }

    /// `fixed64` fields.
    pub fn fixed64(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.always_fixed64(number, value);
        }
    }

    /// Like [`fixed64`](Self::fixed64), written even when zero; also `sfixed64`.
    pub fn always_fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// `fixed32` fields.
    pub fn fixed32(&mut self, number: u32, value: u32) {
        if value != 0 {
            self.tag(number, 5);
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `optional double` and `oneof` double fields: written even when zero.
    pub fn always_double(&mut self, number: u32, value: f64) {
        self.always_fixed64(number, value.to_bits());
    }

    /// `bytes` fields.
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.always_bytes(number, value);
        }
    }

    /// Like [`bytes`](Self::bytes), written even when empty.
    pub fn always_bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        push_varint(self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// The head of a message field of this length; its content is to be appended.
    pub(crate) fn begin_message(&mut self, number: u32, len: usize) {
        self.tag(number, 2);
        push_varint(self.out, len as u64);
    }

    /// A message field whose content is `first` and `second`.
    pub fn concatenated(&mut self, number: u32, first: &[u8], second: &[u8]) {
        self.tag(number, 2);
        push_varint(self.out, (first.len() + second.len()) as u64);
        self.raw(first);
        self.raw(second);
    }

    /// `string` fields.
    pub fn string(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    /// Like [`string`](Self::string), written even when empty.
    pub fn always_string(&mut self, number: u32, value: &str) {
        self.always_bytes(number, value.as_bytes());
    }

    /// Packed `repeated fixed64` and `repeated double` (as bits) fields.
    pub fn packed_fixed64(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() > 0 {
            self.tag(number, 2);
            push_varint(self.out, values.len() as u64 * 8);
            for value in values {
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Packed `repeated uint64` fields.
    pub fn packed_varint(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() > 0 {
            self.delimited(number, |out| {
                for value in values {
                    push_varint(out, value);
                }
            });
        }
    }

    /// A message field, written even when the message is empty.
    pub fn message(&mut self, number: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.delimited(number, |out| write(&mut Writer::new(out)));
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        push_tag(self.out, number, wire_type);
    }

    fn delimited(&mut self, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
        delimited(self.out, number, write);
    }
}

/// Bytes of a length-delimited field whose content has `len`.
pub(crate) fn len_of_delimited(number: u32, len: usize) -> usize {
    varint_len(u64::from(number << 3)) + varint_len(len as u64) + len
}

fn varint_len(value: u64) -> usize {
    ((value | 1).ilog2() as usize) / 7 + 1
}

/// Appends a length-delimited field whose content `write` appends.
pub(crate) fn delimited(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    push_tag(out, number, 2);
    // One byte is kept for the length; a longer length moves the content, which is cheaper
    // than a first pass that only measures.
    let length_at = out.len();
    out.push(0);
    write(out);
    let len = out.len() - length_at - 1;
    if let (Ok(short), true) = (u8::try_from(len), len < 0x80) {
        if let Some(byte) = out.get_mut(length_at) {
            *byte = short;
        }
        return;
    }
    let mut varint = Vec::with_capacity(10);
    push_varint(&mut varint, len as u64);
    out.splice(length_at..=length_at, varint);
}

fn push_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    push_varint(out, u64::from(number << 3 | wire_type));
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.varint(1, 300);
        writer.always_fixed64(2, 7);
        writer.string(3, "text");
        writer.fixed32(4, 5);
        writer.message(5, |m| m.string(1, &"x".repeat(200)));
        writer.sint32(6, -3);
        let fields: Vec<_> = Reader::new(&out).map(|field| field.unwrap()).collect();
        assert_eq!(fields[0].value, Value::Varint(300));
        assert_eq!(fields[1].value, Value::Fixed64(7));
        assert_eq!(fields[2].value, Value::Len(b"text"));
        assert_eq!(fields[3].value, Value::Fixed32(5));
        let inner = Reader::new(fields[4].as_len().unwrap()).next().unwrap().unwrap();
        assert_eq!(inner.as_len().unwrap().len(), 200);
        assert_eq!(fields[5].value, Value::Varint(5));
        assert_eq!(fields.iter().map(|f| f.raw.len()).sum::<usize>(), out.len());
    }

    #[test]
    fn default_values_are_left_out() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.varint(1, 0);
        writer.fixed64(2, 0);
        writer.string(3, "");
        writer.packed_fixed64(4, std::iter::empty());
        assert!(out.is_empty());
    }

    #[test]
    fn bad_bytes_are_refused() {
        let check = |bytes: &[u8], expected: BadField| {
            let error = Reader::new(bytes).find_map(Result::err);
            assert_eq!(error, Some(expected), "{bytes:x?}");
        };
        check(&[0x08], BadField::Truncated);
        check(&[0x0a, 0x05, b'a'], BadField::Truncated);
        check(&[0x09, 1, 2, 3], BadField::Truncated);
        check(&[0x0d, 1, 2, 3], BadField::Truncated);
        check(&[0x0b], BadField::BadWireType(3));
        check(&[0x00, 0x00], BadField::BadVarint);
        check(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], BadField::BadVarint);
        check(&[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], BadField::Truncated);
    }

    proptest! {
        #[test]
        fn quick_ways_read_what_the_slow_one_reads(
            fields in prop::collection::vec(
                (0..20u8, 0..6u8, prop::collection::vec(0x80..=u8::MAX, 0..3), 0..4u8, 0..600usize),
                1..4,
            ),
        ) {
            let mut bytes = Vec::new();
            for (number, wire_type, more, last, content) in &fields {
                bytes.push(number << 3 | wire_type);
                bytes.extend_from_slice(more);
                bytes.push(*last);
                bytes.resize(bytes.len() + content, 0x0a);
            }
            let (mut quick, mut slow) = (Reader::new(&bytes), Reader::new(&bytes));
            while let Some(read) = quick.next() {
                prop_assert_eq!(read, slow.field());
                if read.is_ok() {
                    prop_assert_eq!(quick.rest, slow.rest);
                }
            }
        }
    }
}
