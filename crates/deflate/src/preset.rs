//! A preset dictionary: bytes that count as text before each input (RFC 1951, 3.2; zlib's `deflateSetDictionary`).

use crate::compare::{length_of_equal, word};
use crate::effort::Effort;
use crate::symbols::{MAX_DISTANCE, MAX_LENGTH};
use std::borrow::Cow;

const HASH_BITS: u32 = 13;
/// Shortest copy from a dictionary. A distance of thousands takes as many bits as three bytes.
const MIN_LENGTH: usize = 4;

/// A dictionary with an index of its contents, built once and shared by all inputs.
#[derive(Default)]
pub struct Preset {
    bytes: Cow<'static, [u8]>,
    /// One more than the last place of each hash; 0 means none.
    last: Vec<u16>,
    /// One more than the previous place with the same hash as each place; 0 means none.
    before: Vec<u16>,
}

impl Preset {
    /// Indexes a dictionary. Of more than 32 KiB, only the last 32 KiB are used: deflate reaches no further.
    pub fn new(bytes: Cow<'static, [u8]>) -> Self {
        let skipped = bytes.len().saturating_sub(MAX_DISTANCE);
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[skipped..]),
            Cow::Owned(bytes) => Cow::Owned(bytes[skipped..].to_vec()),
        };
        let mut last = vec![0; 1 << HASH_BITS];
        let mut before = vec![0; bytes.len()];
        for (at, four) in bytes.windows(MIN_LENGTH).enumerate() {
            let slot = &mut last[slot(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))];
            before[at] = *slot;
            *slot = at as u16 + 1;
        }
        Self { bytes, last, before }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the length and distance of the longest copy for the beginning of `rest`, which stands `at` bytes after the
    /// dictionary, if it is longer than `length`.
    #[inline]
    pub(crate) fn longer(
        &self,
        rest: &[u8],
        at: usize,
        mut length: usize,
        effort: Effort,
    ) -> Option<(usize, usize)> {
        let first = word(rest, 0).filter(|_| !self.last.is_empty())?;
        let rest = rest.get(..MAX_LENGTH).unwrap_or(rest);
        let mut found = None;
        let mut next = self.last[slot(first)];
        for _ in 0..effort.places {
            let Some(from) = usize::from(next).checked_sub(1) else { break };
            let distance = self.bytes.len() - from + at;
            if distance > MAX_DISTANCE {
                break;
            }
            let there = &self.bytes[from..];
            // A longer copy has the byte after the longest one in common, too.
            if there.get(length) == rest.get(length) {
                let equal = length_of_equal(there, rest);
                if equal > length && equal >= MIN_LENGTH {
                    found = Some((equal, distance));
                    length = equal;
                    if length >= effort.enough || length == rest.len() {
                        break;
                    }
                }
            }
            next = self.before[from];
        }
        found
    }

    /// Returns `true` if the dictionary and then `input` contain `expected` at a place, counted from the dictionary's beginning.
    #[inline]
    pub(crate) fn stands_at(&self, from: usize, input: &[u8], expected: &[u8]) -> bool {
        let end = from + expected.len();
        match from.checked_sub(self.bytes.len()) {
            Some(from) => input.get(from..from + expected.len()) == Some(expected),
            None => self.bytes.get(from..end) == Some(expected),
        }
    }
}

#[inline]
fn slot(four: u32) -> usize {
    (four.wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS)) as usize
}
