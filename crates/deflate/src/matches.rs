//! Finds earlier occurrences: chains of positions with the same three bytes.

use crate::compare::{length_of_equal, word};
use crate::effort::Effort;
use crate::preset::Preset;
use crate::symbols::{MAX_DISTANCE, MAX_LENGTH, MIN_LENGTH, Tokens};
use std::ops::Range;

/// One entry for each position that a copy can start from.
const PLACES: usize = MAX_DISTANCE;
const MASK: usize = PLACES - 1;
/// A copy of three bytes from further away takes about as many bits as the bytes.
const FAR: usize = 1024;

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

/// Length 0 means no copy.
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
        (self.position, self.entered, self.found) = (position, entered, found);
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
        (self.position, self.found) = (at, Some(copy));
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
        longer.map_or(copy, |(length, distance)| Copy { length, distance })
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
    let rest = &input[at..];
    let rest = rest.get(..MAX_LENGTH).unwrap_or(rest);
    // A longer copy than the longest shares its last four bytes with this position; for the first copy the first three are
    // compared.
    let (mut ends, mut end, mut mask) = (input, word(rest, 0).unwrap_or_default(), 0x00ff_ffff);
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
                (ends, end, mask) = (&input[offset..], longer_end, u32::MAX);
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
