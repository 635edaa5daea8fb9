//! Writes strings. Parts that differ between invocations go into holes.

#![expect(clippy::indexing_slicing, reason = "all places come from the text's own runs")]

use super::codes::{BASE_32, BASE_36, BASE_62, END, Packing, text as code};
use super::write::LineParts;
use crate::ids::lower_hex;
use crate::protobuf::push_varint;
use std::net::Ipv4Addr;

const DIGIT: u8 = 1;
/// `a` to `f`.
const HEX: u8 = 2;
const LOWER: u8 = 4;
const UPPER: u8 = 8;
const CODE: u8 = 16;
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => HEX,
            b'g'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            byte if code::is_code(byte) => CODE,
            _ => 0,
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
        let mut literal = 0;
        let mut at = 0;
        while at < text.len() {
            let class = CLASSES[usize::from(text[at])];
            if class == 0 {
                at += 1;
                continue;
            }
            if class == CODE {
                self.skeleton.extend_from_slice(&text[literal..at]);
                self.skeleton.extend_from_slice(&[code::ESCAPE, text[at]]);
                at += 1;
                literal = at;
                continue;
            }
            let mut classes = class;
            let mut end = at + 1;
            while end < text.len() {
                let class = CLASSES[usize::from(text[end])];
                if class == 0 || class == CODE {
                    break;
                }
                classes |= class;
                end += 1;
            }
            let literal_end = self.skeleton.len();
            self.skeleton.extend_from_slice(&text[literal..at]);
            if let Some(length) = self.hole(&text[at..], end - at, classes) {
                at += length;
                literal = at;
            } else {
                self.skeleton.truncate(literal_end);
                at = end;
            }
        }
        self.skeleton.extend_from_slice(&text[literal..]);
        self.skeleton.push(END);
    }

    /// Writes the beginning of `rest` as a code and a hole; returns its length. The first `run` bytes are letters and digits of
    /// these classes.
    fn hole(&mut self, rest: &[u8], run: usize, classes: u8) -> Option<usize> {
        if let Some((length, code)) = self.name(rest) {
            self.skeleton.push(code);
            return Some(length);
        }
        if classes & DIGIT == 0 && !(run == 8 && rest.get(8) == Some(&b'-')) {
            return None;
        }
        let digits = &rest[..run];
        if classes & !(DIGIT | HEX) == 0 {
            if let Some(id) = uuid(rest) {
                self.skeleton.push(code::UUID);
                self.id(&id);
                return Some(UUID);
            }
            if classes & HEX != 0 {
                return self.hex(digits);
            }
            if let Some(id) = xray(rest) {
                self.skeleton.push(code::XRAY);
                self.id(&id);
                return Some(XRAY);
            }
            if rest.get(run) == Some(&b'.')
                && let Some((address, length)) = address(rest)
            {
                self.skeleton.push(code::IPV4);
                self.holes.extend_from_slice(&address);
                return Some(length);
            }
            return self.decimal(digits);
        }
        let count = digits.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_upper = classes & (HEX | LOWER) == 0;
        // Words with a number at the end have one digit, and few are as long.
        if run < 10 || (count < 2 && !(is_upper && run >= 16)) {
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

/// The IPv4 address that begins the text, and its length.
fn address(text: &[u8]) -> Option<([u8; 4], usize)> {
    let mut points = 0;
    let is_part = |byte: &&u8| {
        points += usize::from(**byte == b'.');
        byte.is_ascii_digit() || (**byte == b'.' && points < 4)
    };
    let length = text.iter().take_while(is_part).count();
    let address = str::from_utf8(&text[..length]).ok()?.parse::<Ipv4Addr>().ok()?;
    Some((address.octets(), length))
}
