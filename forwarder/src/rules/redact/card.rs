//! Finds payment card numbers: 13 to 19 digits of a known scheme with a valid check digit.
//!
//! ISO/IEC 7812-1: the first digits identify the scheme, and the last digit is Luhn's check digit.

use super::TextRange;

struct DigitGroup<'t> {
    start: usize,
    digits: &'t [u8],
}

impl DigitGroup<'_> {
    fn end(&self) -> usize {
        self.start + self.digits.len()
    }
}

const FEWEST_DIGITS: usize = 13;
const MOST_DIGITS: usize = 19;

/// Finds card numbers, in one piece or in groups separated by a space, `-`, or the `+` of form encoding.
pub(super) fn find(text: &str, found: &mut dyn FnMut(TextRange)) {
    let bytes = text.as_bytes();
    let groups = groups(bytes);
    let mut at = 0;
    while let Some(rest) = groups.get(at..).filter(|rest| !rest.is_empty()) {
        match card(bytes, rest) {
            Some(taken) => {
                let (first, last) = (rest.first(), rest.get(taken - 1));
                if let (Some(first), Some(last)) = (first, last) {
                    found(first.start..last.end());
                }
                at += taken;
            }
            None => at += 1,
        }
    }
}

fn groups(bytes: &[u8]) -> Vec<DigitGroup<'_>> {
    let mut groups = Vec::new();
    let mut start = 0;
    for part in bytes.split(|byte| !byte.is_ascii_digit()) {
        if !part.is_empty() {
            groups.push(DigitGroup { start, digits: part });
        }
        start += part.len() + 1;
    }
    groups
}

/// The number of groups that form the longest card number.
fn card(bytes: &[u8], groups: &[DigitGroup<'_>]) -> Option<usize> {
    let first = groups.first()?;
    if !may_begin(bytes, first.start) {
        return None;
    }
    let mut digits = [0u8; MOST_DIGITS];
    let mut len = 0;
    let mut longest = None;
    let mut end_before = None;
    for (index, group) in groups.iter().enumerate() {
        if end_before.is_some_and(|end| !is_separator(bytes, end, group.start)) {
            break;
        }
        let Some(place) = digits.get_mut(len..len + group.digits.len()) else { break };
        place.copy_from_slice(group.digits);
        len += group.digits.len();
        end_before = Some(group.end());
        let number = digits.get(..len).unwrap_or_default();
        if len >= FEWEST_DIGITS && may_end(bytes, group.end()) && is_card(number) {
            longest = Some(index + 1);
        }
    }
    longest
}

/// After a letter it is part of an id, and after a point part of a number.
fn may_begin(bytes: &[u8], start: usize) -> bool {
    let before = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at));
    match before(1) {
        None => true,
        Some(b'.') => !before(2).is_some_and(u8::is_ascii_digit),
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

fn may_end(bytes: &[u8], end: usize) -> bool {
    match bytes.get(end) {
        None => true,
        Some(b'.') => !bytes.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

fn is_separator(bytes: &[u8], end: usize, start: usize) -> bool {
    start == end + 1 && matches!(bytes.get(end), Some(b' ' | b'-' | b'+'))
}

fn is_card(digits: &[u8]) -> bool {
    let value = |count: usize| {
        let leading = digits.get(..count).unwrap_or_default();
        leading.iter().fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'))
    };
    // Visa, Mastercard, American Express, Discover, JCB, Diners Club, UnionPay, Maestro.
    let is_of_a_scheme = match digits.len() {
        13 | 16 | 19 if value(1) == 4 => true,
        16 if (51..=55).contains(&value(2)) || (2221..=2720).contains(&value(4)) => true,
        15 => matches!(value(2), 34 | 37),
        14..=19 if matches!(value(2), 36 | 38 | 39) || (300..=305).contains(&value(3)) => true,
        16..=19 if matches!(value(2), 35 | 60 | 62 | 64 | 65 | 81 | 82) => true,
        13..=19 => matches!(value(2), 50 | 56..=69),
        _ => false,
    };
    is_of_a_scheme && has_check_digit(digits)
}

/// Luhn's algorithm (ISO/IEC 7812-1, annex B).
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
