//! Deflate (RFC 1951) for buffers of the size that an invocation leaves: a few kilobytes.
//!
//! Libraries for streams keep a window and tables of 200 to 300 KiB and clear them for each stream; a line of one span holds 1.3 KB,
//! and most of what it cost was that. This compressor reads its input where it lies, uses as much of its tables as the input is long,
//! and clears nothing: entries of earlier inputs are known by their numbers. The measurements are in docs/decisions.md.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "arrays are indexed within their size by masks and tables, and numbers cut to the bits that deflate has for them: checks that can fail cost a third of the time"
)]

mod bits;
mod block;
mod huffman;
mod matches;
mod repeated;
mod symbols;

use bits::BitWriter;
use block::BlockWriter;
use matches::{Effort, MatchFinder};
use repeated::Repeated;
use std::ops::Range;
use symbols::Tokens;

/// A block ends after so many tokens: what follows may be of another kind, and gets codes of its own.
const BLOCK_TOKENS: usize = 16 * 1024;
/// An input of more bytes is compressed as several, so that numbers of places stay far below what a `u32` holds.
const PART_BYTES: usize = 1 << 24;

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
    /// `repeated` is where a part at the beginning of the input stands that the next inputs may have as well, or empty: it is
    /// searched by itself, and once for all inputs that have it one after the other. What is written depends on the arguments alone.
    ///
    /// # Errors
    /// Stops after the block with which `out` has more than `max_bytes`; the error is then how
    /// many bytes of `input` are in `out`, and that is no whole stream.
    pub fn deflate(
        &mut self,
        level: u32,
        input: &[u8],
        repeated: Range<usize>,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), usize> {
        let mut bits = BitWriter::new(out);
        let Some(effort) = Effort::of_level(level) else {
            block::write_stored(&mut bits, input, true);
            return Ok(());
        };
        let is_near = repeated.start <= Repeated::FURTHEST;
        let part = input.get(repeated.clone()).filter(|_| is_near).unwrap_or_default();
        self.repeated.find(&mut self.matches, effort, part);
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let part = rest.get(..PART_BYTES).unwrap_or(rest);
            let mut search = self.matches.search(part, effort);
            if taken == 0 && !self.repeated.is_empty() {
                search.begin_with(&mut self.tokens, repeated.clone(), self.repeated.tokens());
            }
            let mut start = 0;
            while search.fill(&mut self.tokens, BLOCK_TOKENS) {
                let end = search.position();
                self.blocks.write(&mut bits, &mut self.tokens, &part[start..end], false);
                start = end;
                if bits.bytes() > max_bytes {
                    return Err(taken + end);
                }
            }
            taken += part.len();
            let is_last = taken == input.len();
            self.blocks.write(&mut bits, &mut self.tokens, &part[start..], is_last);
            if is_last {
                bits.finish();
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
