//! Compresses into gzip of one member.

use flate2::{Compress, Compression, FlushCompress, Status};
use std::fmt;

/// A member became too large.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "encode"), expect(dead_code, reason = "who writes no lines has no limit"))]
pub(crate) struct TooLarge {
    /// So many bytes of the input
    pub(crate) input_bytes: usize,
    /// were so many in the member.
    pub(crate) bytes: usize,
}

/// Input is taken in steps of so many bytes, to see how large the member becomes.
const STEP_BYTES: usize = 64 * 1024;

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

    /// Appends one gzip member that holds `input` to `out`. Stops early where the member becomes larger than `max_bytes`, and
    /// leaves of it in `out` what it has.
    pub(crate) fn compress(
        &mut self,
        input: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        let start = out.len();
        let level = Compression::new(self.level);
        let state = self.state.get_or_insert_with(|| Compress::new(level, false));
        state.reset();
        // RFC 1952: deflate, no flags, no time (equal input gives equal lines), unknown OS.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let mut consumed = 0;
        let mut step = |bytes: &[u8], flush, out: &mut Vec<u8>| {
            out.reserve(bytes.len() / 2 + 128);
            let before = state.total_in();
            let status = state.compress_vec(bytes, out, flush);
            consumed += usize::try_from(state.total_in() - before).unwrap_or(0);
            (consumed, matches!(status, Ok(Status::StreamEnd) | Err(_)))
        };
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let is_last = rest.len() <= STEP_BYTES || max_bytes == usize::MAX;
            let (part, flush) = match rest.get(..STEP_BYTES) {
                Some(part) if !is_last => (part, FlushCompress::None),
                _ => (rest, FlushCompress::Finish),
            };
            let has_ended;
            (at, has_ended) = step(part, flush, out);
            if has_ended {
                break;
            }
            if out.len() - start > max_bytes && at < input.len() {
                // What deflate still holds back counts too.
                let mut bytes = 0;
                while out.len() > bytes {
                    bytes = out.len();
                    step(&[], FlushCompress::Sync, out);
                }
                return Err(TooLarge { input_bytes: at, bytes: bytes - start });
            }
        }
        let mut crc = flate2::Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
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
    let _fits = Compressor::new(level).compress(input, usize::MAX, &mut out);
    out
}
