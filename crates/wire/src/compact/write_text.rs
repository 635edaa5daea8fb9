//! Writes strings. Parts that differ between invocations go into holes.

#![expect(clippy::indexing_slicing, reason = "all places come from the text's own runs")]

use super::codes::{BASE_32, BASE_36, BASE_62, END, Packing, text as code};
use super::write::LineParts;
use crate::ids::lower_hex;
use crate::protobuf::push_varint;
use std::net::Ipv4Addr;

/// The kinds of characters of a text.
#[derive(Clone, Copy, PartialEq)]
struct CharacterClasses(u8);

impl CharacterClasses {
    const OTHER: Self = Self(0);
    const DIGIT: Self = Self(1);
    /// `a` to `f`.
    const HEX: Self = Self(2);
    const LOWER: Self = Self(4);
    const UPPER: Self = Self(8);
    /// A byte that is also a code of the skeleton.
    const CODE: Self = Self(16);

    fn add(&mut self, class: Self) {
        self.0 |= class.0;
    }

    fn has(self, class: Self) -> bool {
        self.0 & class.0 != 0
    }
}

const CLASS_OF_BYTE: [CharacterClasses; 256] = {
    let mut classes = [CharacterClasses::OTHER; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => CharacterClasses::DIGIT,
            b'a'..=b'f' => CharacterClasses::HEX,
            b'g'..=b'z' => CharacterClasses::LOWER,
            b'A'..=b'Z' => CharacterClasses::UPPER,
            byte if code::is_code(byte) => CharacterClasses::CODE,
            _ => CharacterClasses::OTHER,
        };
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};
/// Characters of a UUID, and where its hyphens stand.
const UUID: usize = 36;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Characters of DynamoDB's request ids, and those at their end that are the same in all of them.
const DYNAMODB: usize = 52;
const DYNAMODB_END: &[u8] = b"VV4KQNSO5AEMVJF66Q9ASUAAJG";
const XRAY: usize = 35;

impl LineParts<'_> {
    /// Writes a string with its end.
    pub(super) fn text(&mut self, text: &[u8]) {
        // Everything before this is written.
        let mut written = 0;
        let mut at = 0;
        while at < text.len() {
            let class = CLASS_OF_BYTE[usize::from(text[at])];
            if class == CharacterClasses::OTHER {
                at += 1;
                continue;
            }
            if class == CharacterClasses::CODE {
                self.skeleton.extend_from_slice(&text[written..at]);
                self.skeleton.extend_from_slice(&[code::ESCAPE, text[at]]);
                at += 1;
                written = at;
                continue;
            }
            let mut classes = class;
            let mut end = at + 1;
            while end < text.len() {
                let class = CLASS_OF_BYTE[usize::from(text[end])];
                if class == CharacterClasses::OTHER || class == CharacterClasses::CODE {
                    break;
                }
                classes.add(class);
                end += 1;
            }
            let skeleton_bytes = self.skeleton.len();
            self.skeleton.extend_from_slice(&text[written..at]);
            if let Some(length) = self.hole(&text[at..], end - at, classes) {
                at += length;
                written = at;
            } else {
                self.skeleton.truncate(skeleton_bytes);
                at = end;
            }
        }
        self.skeleton.extend_from_slice(&text[written..]);
        self.skeleton.push(END);
    }

    /// Writes the beginning of `rest` as a code and a hole; returns its length. The first `run` bytes are letters and digits of
    /// these classes.
    fn hole(&mut self, rest: &[u8], run: usize, classes: CharacterClasses) -> Option<usize> {
        if let Some(name) = self.use_name(rest) {
            self.skeleton.push(name.code);
            return Some(name.bytes);
        }
        let may_be_uuid = run == 8 && rest.get(run) == Some(&b'-');
        if !classes.has(CharacterClasses::DIGIT) && !may_be_uuid {
            return None;
        }
        let digits = &rest[..run];
        if classes.has(CharacterClasses::LOWER) || classes.has(CharacterClasses::UPPER) {
            return self.alphanumeric(digits, classes);
        }
        if let Some(id) = uuid(rest) {
            self.skeleton.push(code::UUID);
            self.id(&id);
            return Some(UUID);
        }
        if classes.has(CharacterClasses::HEX) {
            return self.hex(digits);
        }
        if let Some(id) = xray(rest) {
            self.skeleton.push(code::XRAY);
            self.id(&id);
            return Some(XRAY);
        }
        if rest.get(run) == Some(&b'.')
            && let Some(address) = AddressText::at_start(rest)
        {
            self.skeleton.push(code::IPV4);
            self.holes.extend_from_slice(&address.octets);
            return Some(address.length);
        }
        self.decimal(digits)
    }

    /// Letters and digits, such as an id of AWS.
    fn alphanumeric(&mut self, digits: &[u8], classes: CharacterClasses) -> Option<usize> {
        let count = digits.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_upper = !classes.has(CharacterClasses::HEX) && !classes.has(CharacterClasses::LOWER);
        // Words with a number at the end have one digit, and few are as long.
        if digits.len() < 10 || (count < 2 && !(is_upper && digits.len() >= 16)) {
            return None;
        }
        if !is_upper {
            return self.packed(&BASE_62, digits);
        }
        let is_dynamodb = digits.len() == DYNAMODB && digits.iter().all(|digit| *digit <= b'V');
        if !is_dynamodb {
            return if digits == DYNAMODB_END { None } else { self.packed(&BASE_36, digits) };
        }
        self.packed(&BASE_32, digits.strip_suffix(DYNAMODB_END).unwrap_or(digits))
    }

    fn hex(&mut self, digits: &[u8]) -> Option<usize> {
        const SHORTEST: usize = 8;
        if digits.len() < SHORTEST || !digits.len().is_multiple_of(2) {
            return None;
        }
        if let Some(id) = lower_hex::<8>(digits.iter().copied()) {
            self.skeleton.push(code::HEX_ID);
            self.id(&id);
        } else if let Some(id) = lower_hex::<16>(digits.iter().copied()) {
            self.skeleton.push(code::HEX_ID);
            self.id(&id);
        } else {
            let length = u8::try_from(digits.len() / 2).ok()?;
            self.skeleton.extend_from_slice(&[code::HEX, length]);
            let bytes =
                digits.chunks_exact(2).filter_map(|two| lower_hex::<1>(two.iter().copied()));
            self.holes.extend(bytes.flatten());
        }
        Some(digits.len())
    }

    fn decimal(&mut self, digits: &[u8]) -> Option<usize> {
        const SHORTEST: usize = 4;
        if digits.len() < SHORTEST || digits[0] == b'0' {
            return None;
        }
        let value = str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
        self.skeleton.push(code::DECIMAL);
        push_varint(self.holes, value);
        Some(digits.len())
    }

    fn packed(&mut self, packing: &Packing, digits: &[u8]) -> Option<usize> {
        let length = u8::try_from(digits.len()).ok()?;
        self.skeleton.extend_from_slice(&[packing.code, length]);
        let groups = digits.chunks_exact(packing.chars.into());
        let rest = groups.remainder();
        for group in groups {
            let value = group.iter().fold(0_u64, |value, digit| {
                let digit = packing.alphabet.iter().position(|known| known == digit);
                value * packing.alphabet.len() as u64 + digit.unwrap_or_default() as u64
            });
            self.holes.extend_from_slice(&value.to_le_bytes()[..packing.bytes.into()]);
        }
        self.holes.extend_from_slice(rest);
        Some(digits.len())
    }
}

/// The UUID that begins the text, in lower case.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text = text.get(..UUID).filter(|text| HYPHENS.iter().all(|at| text[*at] == b'-'))?;
    let digits = text.iter().enumerate().filter(|(at, _)| !HYPHENS.contains(at));
    lower_hex(digits.map(|(_, digit)| *digit))
}

/// The trace id that begins the text in X-Ray's spelling, `1-SSSSSSSS-RRRRRRRRRRRRRRRRRRRRRRRR`.
fn xray(text: &[u8]) -> Option<[u8; 16]> {
    let id = text.get(..XRAY).filter(|text| text.starts_with(b"1-") && text[10] == b'-')?;
    lower_hex(id[2..10].iter().chain(&id[11..]).copied())
}

/// An IPv4 address and the length of its text.
struct AddressText {
    octets: [u8; 4],
    length: usize,
}

impl AddressText {
    fn at_start(text: &[u8]) -> Option<Self> {
        let mut points = 0;
        let is_part = |byte: &&u8| {
            points += usize::from(**byte == b'.');
            byte.is_ascii_digit() || (**byte == b'.' && points < 4)
        };
        let length = text.iter().take_while(is_part).count();
        let address = str::from_utf8(&text[..length]).ok()?.parse::<Ipv4Addr>().ok()?;
        Some(Self { octets: address.octets(), length })
    }
}
