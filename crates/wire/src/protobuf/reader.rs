//! Iterates over the fields of a message, without copies.

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

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
    /// Tag and value as encoded: appending `raw` to another message of the same type adds the field to it.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    pub fn as_len(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Len(bytes) => Some(bytes),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    #[error("message ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes, or a field number out of range.
    #[error("invalid varint or field number")]
    BadVarint,
    #[error("wire type {0} does not occur in OTLP")]
    BadWireType(u8),
}

/// Iterates over the fields of one message; ends after the first error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
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

    #[inline(never)]
    fn any_field(&mut self) -> Option<Result<Field<'a>, BadField>> {
        let start = self.rest;
        let [tag, after @ ..] = start else { return None };
        // The next most frequent: times, small numbers, and messages of up to 16 KiB.
        let common = match (tag & 7, after) {
            _ if !(0x08..0x80).contains(tag) => None,
            (1, after) => after
                .split_first_chunk()
                .map(|(value, rest)| (Value::Fixed64(u64::from_le_bytes(*value)), rest)),
            (0, [value @ ..0x80, rest @ ..]) => Some((Value::Varint(u64::from(*value)), rest)),
            (2, [low, high @ ..0x80, after @ ..]) if *low >= 0x80 => {
                let len = usize::from(*high) << 7 | usize::from(*low & 0x7f);
                after.split_at_checked(len).map(|(content, rest)| (Value::Len(content), rest))
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
        // Nearly all fields have a tag and a length of one byte each. This fast path keeps loops over them free of function
        // calls.
        let start = self.rest;
        if let [tag @ 0x08..0x80, len @ ..0x80, after @ ..] = start
            && tag & 7 == 2
            && let Some((content, rest)) = after.split_at_checked(usize::from(*len))
        {
            self.rest = rest;
            let raw = start.get(..2 + usize::from(*len)).unwrap_or_default();
            let number = u32::from(tag >> 3);
            return Some(Ok(Field { number, value: Value::Len(content), raw }));
        }
        self.any_field()
    }
}

/// The fields of a message, up to the first unreadable one.
#[inline]
pub fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Reader::new(message).map_while(Result::ok)
}

/// The messages in the fields with this number, up to the first unreadable field.
pub fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let fields = fields(message).filter(move |field| field.number == number);
    fields.filter_map(|field| field.as_len())
}

/// Reads key and value of an attribute in the common encoding: a `KeyValue` with exactly key and value, in this order, each
/// shorter than 128 bytes. `None` for other encodings: read their fields one by one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_attribute_accepts_only_the_common_encoding() {
        let plain = [0x0a, 1, b'k', 0x12, 2, 0x18, 5];
        assert_eq!(plain_attribute(&plain), Some((&b"k"[..], &[0x18, 5][..])));
        let value_first = [0x12, 2, 0x18, 5, 0x0a, 1, b'k'];
        let with_another_field = [&plain[..], &[0x18, 1]].concat();
        for other in [&plain[..6], &value_first, &with_another_field, &[]] {
            assert_eq!(plain_attribute(other), None, "{other:x?}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_and_slow_field_readers_agree(
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
            let mut quick = Reader::new(&bytes);
            let mut slow = Reader::new(&bytes);
            while let Some(read) = quick.next() {
                prop_assert_eq!(read, slow.field());
                if read.is_ok() {
                    prop_assert_eq!(quick.rest, slow.rest);
                }
            }
        }
    }
}
