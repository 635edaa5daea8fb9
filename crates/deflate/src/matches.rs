//! Finds earlier occurrences: chains of positions with the same three bytes in the input, and with the same four in a preset
//! dictionary (RFC 1951, 3.2; zlib's `deflateSetDictionary`), whose bytes count as text before each input.

use crate::symbols::{MAX_DISTANCE, MAX_LENGTH, MIN_LENGTH, Tokens};
use std::ops::Range;

/// One entry for each position that a copy can start from.
const PLACES: usize = MAX_DISTANCE;
const MASK: usize = PLACES - 1;
/// A copy of three bytes from further away takes about as many bits as the bytes.
const FAR: usize = 1024;
const PRESET_HASH_BITS: u32 = 13;
/// Shortest copy from a dictionary. A distance of thousands takes as many bits as three bytes.
const PRESET_MIN_LENGTH: usize = 4;

/// The time that a search may take.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Effort {
    /// Maximum number of earlier places that are compared with one.
    pub(crate) places: u32,
    /// The length in bytes of a copy that ends the search.
    pub(crate) enough: usize,
}

impl Effort {
    const HIGHEST: Self = Self { places: 4096, enough: MAX_LENGTH };

    /// For inputs with a preset dictionary, in which most places are found early.
    pub(crate) const WITH_PRESET: Self = Self { places: 128, enough: MAX_LENGTH };

    /// Of gzip's levels; `None` for 0, which stores.
    pub(crate) fn of_level(level: u32) -> Option<Self> {
        let (places, enough) = match level {
            0 => return None,
            1 => (4, 16),
            2 => (6, 32),
            3 => (8, 64),
            4 => (16, 64),
            5 => (24, 128),
            6 => (48, 128),
            7 => (128, MAX_LENGTH),
            8 => (512, MAX_LENGTH),
            _ => return Some(Self::HIGHEST),
        };
        Some(Self { places, enough })
    }
}

/// A dictionary with an index of its contents, built once and shared by all inputs.
#[derive(Default)]
pub struct Preset {
    bytes: &'static [u8],
    /// One more than the last place of each hash; 0 means none.
    last: Vec<u16>,
    /// One more than the previous place with the same hash as each place; 0 means none.
    before: Vec<u16>,
}

impl Preset {
    /// Indexes a dictionary. Of more than 32 KiB, only the last 32 KiB are used: deflate reaches no further.
    pub fn new(bytes: &'static [u8]) -> Self {
        let bytes = &bytes[bytes.len().saturating_sub(MAX_DISTANCE)..];
        let mut last = vec![0; 1 << PRESET_HASH_BITS];
        let mut before = vec![0; bytes.len()];
        for (at, four) in bytes.windows(PRESET_MIN_LENGTH).enumerate() {
            let slot =
                &mut last[preset_slot(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))];
            before[at] = *slot;
            *slot = at as u16 + 1;
        }
        Self { bytes, last, before }
    }

    pub fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// Returns the longest copy for the beginning of `rest`, which stands `at` bytes after the dictionary, if it is longer than
    /// `length`.
    #[inline]
    fn longer(&self, rest: &[u8], at: usize, mut length: usize, effort: Effort) -> Option<Copy> {
        let first = word(rest, 0).filter(|_| !self.last.is_empty())?;
        let rest = rest.get(..MAX_LENGTH).unwrap_or(rest);
        let mut found = None;
        let mut next = self.last[preset_slot(first)];
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
                if equal > length && equal >= PRESET_MIN_LENGTH {
                    found = Some(Copy { length: equal, distance });
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
fn preset_slot(four: u32) -> usize {
    (four.wrapping_mul(0x9e37_79b1) >> (u32::BITS - PRESET_HASH_BITS)) as usize
}

/// The last position of each three bytes, and the one before each. Positions are numbered continuously across inputs: a number
/// below that of an input's first position belongs to an earlier input and is ignored.
pub(crate) struct MatchFinder {
    last: Box<[u32; PLACES]>,
    /// The previous position with the same hash.
    before: Box<[u32; PLACES]>,
    next_number: u32,
}

impl Default for MatchFinder {
    fn default() -> Self {
        Self { last: zeros(), before: zeros(), next_number: 1 }
    }
}

fn zeros() -> Box<[u32; PLACES]> {
    // Zeroed allocations take no unused pages; `Box::new` of an array would write all of them.
    let zeros = vec![0; PLACES].into_boxed_slice();
    zeros.try_into().unwrap_or_else(|_| unreachable!("it has as many as were asked for"))
}

impl MatchFinder {
    pub(crate) fn search<'a>(
        &'a mut self,
        preset: &'a Preset,
        input: &'a [u8],
        effort: Effort,
    ) -> Search<'a> {
        let length = input.len() as u32;
        if self.next_number.checked_add(length).is_none() {
            self.last.fill(0);
            self.next_number = 1;
        }
        let first = self.next_number;
        self.next_number += length;
        // A small input uses the beginning of the table, and so few pages of memory. Four slots per position keep collisions
        // rare.
        let bits = (length | 1).ilog2().clamp(9, PLACES.ilog2() - 2) + 2;
        Search {
            preset,
            input,
            effort,
            last: &mut self.last,
            before: &mut self.before,
            first,
            shift: u32::BITS - bits,
            position: 0,
            entered: 0,
            found: None,
        }
    }
}

#[cfg(test)]
impl MatchFinder {
    pub(crate) fn places(&self) -> u32 {
        self.next_number
    }

    /// Makes the next input start at the last number.
    pub(crate) fn end_numbers(&mut self) {
        self.next_number = u32::MAX;
    }
}

pub(crate) struct Search<'a> {
    /// Stands before the input.
    preset: &'a Preset,
    input: &'a [u8],
    effort: Effort,
    last: &'a mut [u32; PLACES],
    before: &'a mut [u32; PLACES],
    first: u32,
    shift: u32,
    position: usize,
    /// The first position that is not in the tables.
    entered: usize,
    /// The copy found for `position`, if searched.
    found: Option<Copy>,
}

/// A copy of earlier bytes. Length 0 means no copy.
#[derive(Clone, Copy, Default)]
struct Copy {
    length: usize,
    distance: usize,
}

impl Search<'_> {
    /// Number of input bytes represented by tokens.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Starts after this part of the input, with its known tokens.
    pub(crate) fn begin_with(&mut self, tokens: &mut Tokens, part: Range<usize>, known: &Tokens) {
        for &byte in &self.input[..part.start] {
            tokens.literal(byte);
        }
        tokens.append(known);
        self.enter_until(part.end);
        self.position = part.end;
    }

    /// Adds tokens until there are `most` or the input ends. Returns `true` if input remains.
    ///
    /// Each copy is compared with the next one: if that could begin at this one's second byte, a byte and one long copy take
    /// fewer bits than two copies.
    pub(crate) fn fill(&mut self, tokens: &mut Tokens, most: usize) -> bool {
        // A local copy stays in registers; a reference would be read and written for each byte.
        let mut search = Search { last: self.last, before: self.before, ..*self };
        let goes_on = search.fill_here(tokens, most);
        let Search { position, entered, found, .. } = search;
        self.position = position;
        self.entered = entered;
        self.found = found;
        goes_on
    }

    #[inline]
    fn fill_here(&mut self, tokens: &mut Tokens, most: usize) -> bool {
        let input = self.input;
        let mut at = self.position;
        let mut copy = self.found.take().unwrap_or_else(|| self.find(at));
        while let Some(&byte) = input.get(at) {
            if tokens.list().len() >= most {
                break;
            }
            if copy.length == 0 {
                tokens.literal(byte);
                at += 1;
                copy = self.find(at);
                continue;
            }
            let end = at + copy.length;
            self.enter_until(end);
            let next = self.find(end);
            let all_but_first = copy.length - 1;
            let longer = Copy { length: all_but_first + next.length, ..next };
            let preset = self.preset.bytes().len();
            let from = (preset + end).checked_sub(next.distance + all_but_first);
            let begins_earlier = next.length > 0
                && longer.length <= MAX_LENGTH
                && from.is_some_and(|from| self.preset.stands_at(from, input, &input[at + 1..end]));
            if begins_earlier {
                tokens.literal(byte);
                at += 1;
                copy = longer;
            } else {
                tokens.copy(copy.length, copy.distance);
                at = end;
                copy = next;
            }
        }
        self.position = at;
        self.found = Some(copy);
        at < input.len()
    }

    /// Enters a position with the bytes of `word`, and returns the previous one of the same hash.
    #[inline]
    fn enter(&mut self, at: usize, word: u32) -> u32 {
        // Shifting out the highest of four bytes leaves three, which are hashed by the golden ratio.
        let slot = ((word << 8).wrapping_mul(0x9e37_79b1) >> self.shift) as usize & MASK;
        let earlier = std::mem::replace(&mut self.last[slot], self.first + at as u32);
        self.before[at & MASK] = earlier;
        earlier
    }

    /// Enters all missing positions before `end`.
    #[inline]
    fn enter_until(&mut self, end: usize) {
        let last = (end + 3).min(self.input.len());
        let Some(bytes) = self.input.get(self.entered..last) else { return };
        for (at, word) in (self.entered..).zip(bytes.windows(4)) {
            self.enter(at, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        }
        self.entered = end;
    }

    /// Returns the best copy for the bytes from `at` on, and enters that position.
    #[inline]
    fn find(&mut self, at: usize) -> Copy {
        self.entered = at + 1;
        let Some(word) = word(self.input, at) else { return Copy::default() };
        let earlier = self.enter(at, word);
        let lowest = self.first.max((self.first + at as u32).saturating_sub(MAX_DISTANCE as u32));
        let copy = if earlier < lowest {
            Copy::default()
        } else {
            let chain = Chain { before: self.before, first: self.first, lowest };
            longest(self.input, at, &chain, earlier, self.effort)
        };
        let longer = self.preset.longer(&self.input[at..], at, copy.length, self.effort);
        longer.unwrap_or(copy)
    }
}

/// The earlier positions of one hash, each linked to the one before it.
struct Chain<'a> {
    before: &'a [u32; PLACES],
    first: u32,
    /// Number of the first position that a copy can start from.
    lowest: u32,
}

/// The longest copy for the bytes from `at` on, starting at the position `earlier` or its predecessors.
#[inline(never)]
fn longest(input: &[u8], at: usize, chain: &Chain<'_>, earlier: u32, effort: Effort) -> Copy {
    let mut longest = Copy { length: MIN_LENGTH - 1, distance: 0 };
    let to_end = &input[at..];
    let rest = to_end.get(..MAX_LENGTH).unwrap_or(to_end);
    // A longer copy than the longest shares its last four bytes with this position; for the first copy the first three are
    // compared.
    let mut ends = input;
    let mut end = word(rest, 0).unwrap_or_default();
    let mut mask = 0x00ff_ffff;
    let mut number = earlier;
    for _ in 0..effort.places {
        let from = (number - chain.first) as usize;
        let Some(there) = word(ends, from) else { break };
        if (there ^ end) & mask == 0 {
            let length = length_of_equal(&input[from..], rest);
            if length > longest.length {
                longest = Copy { length, distance: at - from };
                let offset = length - MIN_LENGTH;
                let Some(longer_end) = word(rest, offset) else { break };
                if length >= effort.enough {
                    break;
                }
                ends = &input[offset..];
                end = longer_end;
                mask = u32::MAX;
            }
        }
        let before = chain.before[from & MASK];
        // The table holds the last 32 Ki positions: the slot of an older one belongs to a newer one.
        if before < chain.lowest || before >= number {
            break;
        }
        number = before;
    }
    let is_short =
        longest.length < MIN_LENGTH || (longest.length == MIN_LENGTH && longest.distance > FAR);
    if is_short { Copy::default() } else { longest }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The number of bytes that both begin with.
#[inline]
fn length_of_equal(from: &[u8], rest: &[u8]) -> usize {
    let ((from_words, _), (words, _)) = (from.as_chunks::<8>(), rest.as_chunks::<8>());
    let mut length = 0;
    for (from, word) in from_words.iter().zip(words) {
        let other = u64::from_le_bytes(*from) ^ u64::from_le_bytes(*word);
        if other != 0 {
            return length + (other.trailing_zeros() / u8::BITS) as usize;
        }
        length += 8;
    }
    let ends = from[length..].iter().zip(&rest[length..]);
    length + ends.take_while(|(from, byte)| from == byte).count()
}
