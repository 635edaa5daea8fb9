//! Compresses into gzip of one member.

use deflate::Deflater;
use std::fmt;
use std::ops::Range;

/// A member became too large.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "encode"), expect(dead_code, reason = "who writes no lines has no limit"))]
pub(crate) struct TooLarge {
    /// So many bytes of the input
    pub(crate) input_bytes: usize,
    /// were so many in the member.
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
    /// A compressor of level 0 (stored) to 9 (smallest); higher levels count as 9. Its tables are
    /// allocated by the first use.
    pub(crate) fn new(level: u32) -> Self {
        Self { level, deflater: None }
    }

    /// Appends one gzip member that holds `input` to `out`. Stops early where the member becomes larger than `max_bytes`, and
    /// leaves of it in `out` what it has. `repeated` is where the part of the input stands that the next inputs may have as well.
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
    if let Some(out) = super::libdeflate::compress(level, input) {
        return out;
    }
    let mut out = Vec::new();
    // No member is larger than any number.
    let _fits = Compressor::new(level).compress(input, 0..0, usize::MAX, &mut out);
    out
}
