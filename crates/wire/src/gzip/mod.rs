//! Gzip: a compressor made for lines of a few spans, and bounded decompression.

#[cfg(feature = "decode")]
mod inflate;
#[cfg(feature = "bulk")]
mod libdeflate;

#[cfg(feature = "decode")]
pub use inflate::{InflateError, inflate, inflate_deflate, is_gzip, reader};
#[cfg(feature = "decode")]
pub(crate) use inflate::{inflate_counted, inflate_with_dictionary};
#[cfg(feature = "bulk")]
pub use libdeflate::inflate as inflate_plain;

use deflate::Deflater;
use std::fmt;
use std::ops::Range;

/// The output exceeded its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLarge {
    /// Number of bytes of the input that were compressed until then.
    pub(crate) input_bytes: usize,
    /// Number of bytes that they became.
    pub(crate) bytes: usize,
}

/// Compresses one buffer after the other into single-member gzip.
///
/// Never more than one member: OpenObserve decodes only the first and answers 200.
pub(crate) struct Compressor {
    level: u32,
    deflater: Option<Deflater>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor {
    /// Creates a compressor of level 0 (stored) to 9 (smallest); higher levels count as 9. The first use allocates its tables.
    pub(crate) fn new(level: u32) -> Self {
        Self { level, deflater: None }
    }

    /// Appends one gzip member with `input` to `out`. Stops once the member exceeds `max_bytes`, and leaves its beginning in
    /// `out`. `repeated` is the part of the input that the next inputs may repeat.
    pub(crate) fn compress(
        &mut self,
        input: &[u8],
        repeated: Range<usize>,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        let start = out.len();
        // RFC 1952: deflate, no flags, no time (equal input gives equal lines), unknown OS.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let deflater = self.deflater.get_or_insert_default();
        deflater
            .deflate(self.level, input, repeated, start.saturating_add(max_bytes), out)
            .map_err(|input_bytes| TooLarge { input_bytes, bytes: out.len() - start })?;
        out.extend_from_slice(&crc32fast::hash(input).to_le_bytes());
        // ISIZE is the size modulo 2^32.
        let [a, b, c, d, ..] = (input.len() as u64).to_le_bytes();
        out.extend_from_slice(&[a, b, c, d]);
        let bytes = out.len() - start;
        if bytes > max_bytes { Err(TooLarge { input_bytes: input.len(), bytes }) } else { Ok(()) }
    }
}

/// Compresses `input` into one gzip member. With the feature `bulk` the levels are libdeflate's, up to 12.
pub fn compress(level: u32, input: &[u8]) -> Vec<u8> {
    #[cfg(feature = "bulk")]
    if let Some(out) = libdeflate::compress(level, input) {
        return out;
    }
    let mut out = Vec::new();
    // No member exceeds this number.
    let _fits = Compressor::new(level).compress(input, 0..0, usize::MAX, &mut out);
    out
}

#[cfg(test)]
#[cfg(feature = "decode")]
mod tests;
