//! Prefix codes that writer and reader share, so that a block needs no header for them.

use crate::bits::BitWriter;
use crate::block::{BLOCK_TYPE_BITS, BlockHeader, Encoding, block_type};
use crate::huffman::Code;
use crate::symbols::{self, DISTANCES, LITERALS};

/// The numbers of bits of all symbols: bytes, the end of a block and lengths, then distances.
#[derive(Clone)]
pub struct Codes {
    pub(crate) literals: [u8; LITERALS],
    pub(crate) distances: [u8; DISTANCES],
}

impl Codes {
    pub const SYMBOLS: usize = LITERALS + DISTANCES;

    /// The numbers of bits of the literals, then of the distances, of complete codes (RFC 1951, 3.2.2).
    pub fn new(lengths: &[u8; Self::SYMBOLS]) -> Self {
        Self {
            literals: std::array::from_fn(|symbol| lengths[symbol]),
            distances: std::array::from_fn(|symbol| lengths[LITERALS + symbol]),
        }
    }

    /// Returns what a reader of standard deflate has to read before a block in these codes: whole bytes that end with the block's
    /// header. `None` for codes whose header cannot end with a byte.
    pub fn header(&self) -> Option<Vec<u8>> {
        // In the fixed codes, where the end of a block has seven bits.
        const EMPTY_BLOCK_BITS: usize = BLOCK_TYPE_BITS + 7;
        let mut literals = Code::<512>::default();
        let mut distances = Code::<32>::default();
        literals.assign(&self.literals);
        distances.assign(&self.distances);
        let mut lengths = Code::<32>::default();
        let mut header = BlockHeader::new(&literals, &distances, &mut lengths);
        // Empty blocks have an even number of bits, so the rest must have one too before they can fill a byte.
        let is_odd = !(BLOCK_TYPE_BITS + header.bits()).is_multiple_of(2);
        if is_odd && !header.add_unused_length() {
            return None;
        }
        let block_bits = BLOCK_TYPE_BITS + header.bits();
        let empty_blocks =
            (0..4).find(|blocks| (block_bits + blocks * EMPTY_BLOCK_BITS).is_multiple_of(8))?;
        let mut out = Vec::new();
        let mut bits = BitWriter::new(&mut out);
        bits.with_room(empty_blocks * EMPTY_BLOCK_BITS + block_bits, |mut room| {
            for _ in 0..empty_blocks {
                room.put(block_type(Encoding::FixedCodes, false), EMPTY_BLOCK_BITS as u32);
            }
            room.put(block_type(Encoding::OwnCodes, true), BLOCK_TYPE_BITS as u32);
            header.write(room, &lengths)
        });
        bits.finish();
        Some(out)
    }

    /// Returns the bits of tokens with these counts.
    pub(crate) fn bits(&self, literals: &[u32], distances: &[u32]) -> usize {
        let of_literals = literals.iter().zip(self.literals).enumerate();
        let of_distances = distances.iter().zip(self.distances).enumerate();
        let literal_bits = of_literals.map(|(symbol, (count, length))| {
            count * (u32::from(length) + symbols::literal_extra(symbol))
        });
        let distance_bits = of_distances.map(|(symbol, (count, length))| {
            count * (u32::from(length) + symbols::distance_extra(symbol))
        });
        literal_bits.chain(distance_bits).sum::<u32>() as usize
    }
}
