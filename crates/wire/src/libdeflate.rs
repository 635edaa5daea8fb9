//! Gzip by libdeflate, for whole buffers: about two thirds of the time that zlib-rs takes.
//!
//! It knows neither streams nor several members, and not how much comes out: what is not the plain case is left to
//! [`gzip`](crate::gzip), which also says what is wrong.

use libdeflater::{CompressionLvl, Compressor, Decompressor};
use memchr::memmem;
use std::cell::RefCell;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
    static COMPRESSOR: RefCell<Option<(u32, Compressor)>> = const { RefCell::new(None) };
}

/// Deflate makes no more than this of a byte (zlib, "Maximum Expansion Factor").
const MOST_BYTES_OF_ONE: usize = 1032;

/// The gzip member that is all of `input`; `None` where it is not, or does not inflate to at most `max_bytes`.
pub(crate) fn inflate(input: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
    let size = usize::try_from(u32::from_le_bytes(*input.last_chunk()?)).ok()?;
    if size > max_bytes || size / MOST_BYTES_OF_ONE > input.len() || has_other_member(input) {
        return None;
    }
    let mut out = vec![0; size];
    let inflated = DECOMPRESSOR.with_borrow_mut(|state| {
        state.get_or_insert_default().gzip_decompress(input, &mut out).ok()
    })?;
    (inflated == size).then_some(out)
}

/// Whether another member may begin within `input` (RFC 1952, 2.3): its first three bytes, and flags of which three are 0.
fn has_other_member(input: &[u8]) -> bool {
    let behind_first = input.get(1..).unwrap_or_default();
    memmem::find_iter(behind_first, &[0x1f, 0x8b, 8])
        .any(|at| behind_first.get(at + 3).is_none_or(|flags| flags & 0xe0 == 0))
}

/// One gzip member that holds `input`, of level 1 to 12; others count as the nearest.
pub(crate) fn compress(level: u32, input: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(of, _)| *of != level) {
            let valid = CompressionLvl::new(level.clamp(1, 12).cast_signed()).ok()?;
            *kept = Some((level, Compressor::new(valid)));
        }
        let (_, state) = kept.as_mut()?;
        let mut out = vec![0; state.gzip_compress_bound(input.len())];
        let length = state.gzip_compress(input, &mut out).ok()?;
        out.truncate(length);
        out.shrink_to_fit();
        Some(out)
    })
}
