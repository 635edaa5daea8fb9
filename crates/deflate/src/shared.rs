//! Numbers of bits that writer and reader share.

use crate::symbols::{self, DISTANCES, LITERALS};

/// The numbers of bits of all symbols: bytes, the end of a block and lengths, then distances.
#[derive(Clone)]
pub(crate) struct SharedCodes {
    pub(crate) literals: [u8; LITERALS],
    pub(crate) distances: [u8; DISTANCES],
}

impl SharedCodes {
    /// Returns the bits of tokens with these counts.
    pub(crate) fn bits(&self, literals: &[u32], distances: &[u32]) -> usize {
        let of_literals = literals.iter().zip(self.literals).enumerate();
        let of_distances = distances.iter().zip(self.distances).enumerate();
        let literals = of_literals.map(|(symbol, (count, bits))| {
            count * (u32::from(bits) + symbols::literal_extra(symbol))
        });
        let distances = of_distances.map(|(symbol, (count, bits))| {
            count * (u32::from(bits) + symbols::distance_extra(symbol))
        });
        literals.chain(distances).sum::<u32>() as usize
    }
}
