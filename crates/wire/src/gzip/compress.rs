//! Compresses into gzip of one member.

use flate2::{Compress, Compression, FlushCompress, Status};
use std::fmt;

/// Compresses one buffer after the other into single-member gzip.
///
/// Never more than one member: OpenObserve decodes only the first and answers 200.
pub(crate) struct Compressor {
    level: u32,
    state: Option<Compress>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor of level 0 (stored) to 9 (smallest); higher levels count as 9. The state is
    /// allocated by the first use.
    pub(crate) fn new(level: u32) -> Self {
        Self { level: level.min(9), state: None }
    }

    /// Appends one gzip member that holds `input` to `out`.
    pub(crate) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let level = Compression::new(self.level);
        let state = self.state.get_or_insert_with(|| Compress::new(level, false));
        state.reset();
        // RFC 1952: deflate, no flags, no time (equal input gives equal lines), unknown OS.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let mut consumed = 0;
        loop {
            out.reserve((input.len() - consumed) / 2 + 128);
            let rest = input.get(consumed..).unwrap_or_default();
            let before = state.total_in();
            let status = state.compress_vec(rest, out, FlushCompress::Finish);
            consumed += usize::try_from(state.total_in() - before).unwrap_or(0);
            if matches!(status, Ok(Status::StreamEnd) | Err(_)) {
                break;
            }
        }
        let mut crc = flate2::Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        // ISIZE is the size modulo 2^32.
        let [a, b, c, d, ..] = (input.len() as u64).to_le_bytes();
        out.extend_from_slice(&[a, b, c, d]);
    }
}

/// Compresses `input` into one gzip member. With the feature `bulk` the levels are libdeflate's, up to 12.
pub fn compress(level: u32, input: &[u8]) -> Vec<u8> {
    #[cfg(feature = "bulk")]
    if let Some(out) = super::libdeflate::compress(level, input) {
        return out;
    }
    let mut out = Vec::new();
    Compressor::new(level).compress(input, &mut out);
    out
}
