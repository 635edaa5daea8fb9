//! Finds payment card numbers: 13 to 19 digits of a known scheme with a valid check digit.
//!
//! ISO/IEC 7812-1: the first digits identify the scheme, and the last digit is Luhn's check digit.

use super::TextRange;
use super::needle::Letters;

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
const MAX_DIGITS: usize = 19;
/// A separator may follow each digit.
const MAX_BYTES: usize = 2 * MAX_DIGITS;

/// Returns `false` if these bytes have no run of digits and separators that is long enough for a card number.
pub(super) fn may_be_in(bytes: &[u8], letters: Letters) -> bool {
    const DIGITS: Letters = Letters::of(b"0123456789");
    // A run of thirteen bytes has one of these places and the byte after it.
    const STEP: usize = FEWEST_DIGITS - 1;
    if !letters.has_any(DIGITS) {
        return false;
    }
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'+');
    (0..bytes.len()).step_by(STEP).any(|at| {
        let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        if !matches!(after, [first, second, ..] if is_part(first) && is_part(second)) {
            return false;
        }
        let before = before.iter().rev().take(MAX_BYTES).take_while(|byte| is_part(byte));
        let after = after.iter().take(MAX_BYTES).take_while(|byte| is_part(byte));
        let digits = before.chain(after).filter(|byte| byte.is_ascii_digit());
        digits.take(FEWEST_DIGITS).count() == FEWEST_DIGITS
    })
}

/// Finds card numbers, in one piece or in groups separated by a space, `-`, or the `+` of form encoding. They may overlap.
pub(super) fn find(text: &str, found: &mut dyn FnMut(TextRange)) {
    let bytes = text.as_bytes();
    let groups = groups(bytes);
    let mut covered = 0;
    for (at, first) in groups.iter().enumerate() {
        let end = groups.get(at..).and_then(|rest| card_end(bytes, rest));
        if let Some(end) = end.filter(|end| *end > covered) {
            found(first.start..end);
            covered = end;
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

/// The end of the longest card number that begins with the first group. Digits next to a letter are part of an id: one in
/// 1,400 UUIDs has a number with a valid check digit.
fn card_end(bytes: &[u8], groups: &[DigitGroup<'_>]) -> Option<usize> {
    let is_letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    let before = groups.first()?.start.checked_sub(1);
    if before.is_some_and(is_letter) {
        return None;
    }
    let mut digits = [0u8; MAX_DIGITS];
    let mut len = 0;
    let mut longest = None;
    let mut end_before = None;
    for group in groups {
        if end_before.is_some_and(|end| !is_separator(bytes, end, group.start)) {
            break;
        }
        let Some(place) = digits.get_mut(len..len + group.digits.len()) else { break };
        place.copy_from_slice(group.digits);
        len += group.digits.len();
        end_before = Some(group.end());
        if len >= FEWEST_DIGITS && !is_letter(group.end()) && is_card(digits.get(..len)?) {
            longest = end_before;
        }
    }
    longest
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
