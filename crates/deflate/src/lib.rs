//! Deflate (RFC 1951) for buffers of a few kilobytes, the size of an invocation's telemetry.
//!
//! Streaming libraries keep a window and tables of 200 to 300 KiB and clear them for each stream. A line of one span has 1.3 KB,
//! so that dominated its cost. This compressor reads the input in place, uses tables in proportion to the input, and clears
//! nothing: entries of earlier inputs are recognized by their numbers. docs/decisions.md has the measurements.
//!
//! # Modules
//!
//! - `matches` finds earlier occurrences, `block` writes each block in the smallest of the encodings.
//! - `huffman` makes the codes of a block, `codes` has those of a preset dictionary.
//! - `bits` writes bits, `symbols` has the lengths and distances of RFC 1951.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "arrays are indexed within their size by masks and tables, and numbers cut to the bits that deflate has for them: checks that can fail cost a third of the time"
)]

mod bits;
mod block;
mod codes;
mod huffman;
mod matches;
mod symbols;

use bits::BitWriter;
use block::BlockWriter;
pub use codes::Codes;
pub use matches::Preset;
use matches::{Effort, MatchFinder};
use std::ops::Range;
use symbols::Tokens;

/// Maximum number of tokens in a block: later data may be of another kind and deserve another code.
const BLOCK_TOKENS: usize = 16 * 1024;
/// A larger input is compressed as several, so that position numbers stay far below the limit of `u32`.
const PART_BYTES: usize = 1 << 24;
/// A longer part is searched with the rest of its input, to keep this cache small.
const MAX_REPEATED_BYTES: usize = 4 * 1024;

/// Compresses one buffer after the other.
#[derive(Default)]
pub struct Deflater {
    matches: MatchFinder,
    tokens: Tokens,
    blocks: BlockWriter,
    repeated: Repeated,
}

impl Deflater {
    /// Appends `input`, deflated at level 0 (stored) to 9 (smallest), to `out`. Higher levels count as 9.
    ///
    /// `repeated` is the position of a part near the start of the input that later inputs may repeat, or empty. It is searched
    /// separately, once for all consecutive inputs with the same part. The output depends on the arguments alone.
    ///
    /// # Errors
    /// Stops after the block with which `out` exceeds `max_bytes`. The error is the number of bytes of `input` in `out`, which is
    /// then an incomplete stream.
    pub fn deflate(
        &mut self,
        level: u32,
        input: &[u8],
        repeated: Range<usize>,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), usize> {
        let Some(effort) = Effort::of_level(level) else {
            block::write_stored(&mut BitWriter::new(out), input, true);
            return Ok(());
        };
        let is_near = repeated.start <= Repeated::FURTHEST;
        let part = input.get(repeated.clone()).filter(|_| is_near).unwrap_or_default();
        self.repeated.find(&mut self.matches, effort, part);
        let preset = &Preset::default();
        let known = KnownBefore { preset, codes: None, effort, repeated };
        self.deflate_after(&known, input, max_bytes, out).map(|_| ())
    }

    /// Like [`deflate`](Self::deflate) at level 7, for readers that have the dictionary and the codes.
    ///
    /// Returns `true` if all of the input is in one block in these codes, without a header: standard readers have to read
    /// [`Codes::header`] first.
    ///
    /// # Errors
    /// Like [`deflate`](Self::deflate).
    pub fn deflate_with(
        &mut self,
        preset: &Preset,
        codes: Option<&Codes>,
        input: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, usize> {
        let effort = Effort::WITH_PRESET;
        self.repeated.find(&mut self.matches, effort, &[]);
        let known = KnownBefore { preset, codes, effort, repeated: 0..0 };
        self.deflate_after(&known, input, max_bytes, out)
    }

    fn deflate_after(
        &mut self,
        known: &KnownBefore<'_>,
        input: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, usize> {
        let no_preset = Preset::default();
        let mut bits = BitWriter::new(out);
        // Number of bytes of the parts before.
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let part = rest.get(..PART_BYTES).unwrap_or(rest);
            // Bytes after the first part are too far from the dictionary.
            let preset = if taken == 0 { known.preset } else { &no_preset };
            let mut search = self.matches.search(preset, part, known.effort);
            if taken == 0 && !self.repeated.bytes.is_empty() {
                let place = known.repeated.clone();
                search.begin_with(&mut self.tokens, place, &self.repeated.tokens);
            }
            let mut block_at = 0;
            while search.fill(&mut self.tokens, BLOCK_TOKENS) {
                let end = search.position();
                self.blocks.write(&mut bits, &mut self.tokens, &part[block_at..end], false, None);
                block_at = end;
                if bits.bytes() > max_bytes {
                    return Err(taken + end);
                }
            }
            taken += part.len();
            let is_last = taken == input.len();
            let is_only_block = is_last && block_at == 0 && part.len() == input.len();
            let shared = known.codes.filter(|_| is_only_block);
            let last_block = &part[block_at..];
            let is_shared =
                self.blocks.write(&mut bits, &mut self.tokens, last_block, is_last, shared);
            if is_last {
                bits.finish();
                return Ok(is_shared);
            }
        }
    }
}

/// Knowledge about an input before it is searched.
struct KnownBefore<'k> {
    preset: &'k Preset,
    /// The codes that readers have.
    codes: Option<&'k Codes>,
    effort: Effort,
    /// The place of the part in [`Repeated`].
    repeated: Range<usize>,
}

/// The search results of a part that many inputs share, such as the resource in each line of a function. The tokens copy only from
/// the part itself, so they do not depend on its position.
#[derive(Default)]
struct Repeated {
    bytes: Vec<u8>,
    effort: Option<Effort>,
    tokens: Tokens,
}

impl Repeated {
    /// Maximum number of unsearched bytes before the part.
    const FURTHEST: usize = 32;

    /// Searches this part, unless it is the last one searched.
    fn find(&mut self, matches: &mut MatchFinder, effort: Effort, part: &[u8]) {
        let part = if part.len() > MAX_REPEATED_BYTES { &[] } else { part };
        if self.effort == Some(effort) && self.bytes == part {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(part);
        self.effort = Some(effort);
        self.tokens.clear();
        matches.search(&Preset::default(), part, effort).fill(&mut self.tokens, usize::MAX);
    }
}

#[cfg(test)]
mod tests;
