//! Gzip by libdeflate, for whole buffers: about two thirds of zlib-rs's time.
//!
//! libdeflate supports neither streams nor several members, and needs the inflated size. So this module reads exactly one member;
//! [`inflate`](super::inflate) reads everything else, and reports errors.

use libdeflater::{CompressionLvl, Compressor, Decompressor};
use memchr::memmem::Finder;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
    static COMPRESSORS: RefCell<BTreeMap<u32, Compressor>> = const { RefCell::new(BTreeMap::new()) };
}

static FIND_MEMBER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[0x1f, 0x8b, 8]));

/// Maximum expansion of one byte by deflate (zlib, "Maximum Expansion Factor").
const MAX_BYTES_OF_ONE: usize = 1032;

/// Inflates `input` if it is exactly one gzip member whose stated size is at most `max_bytes`: faster, because the size is known.
/// Returns `None` otherwise; [`reader`](super::reader) then reads it or reports the error.
pub fn inflate(input: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
    let size = usize::try_from(u32::from_le_bytes(*input.last_chunk()?)).ok()?;
    if size > max_bytes || size / MAX_BYTES_OF_ONE > input.len() || has_other_member(input) {
        return None;
    }
    let mut out = vec![0; size];
    let inflated = DECOMPRESSOR.with_borrow_mut(|state| {
        state.get_or_insert_default().gzip_decompress(input, &mut out).ok()
    })?;
    (inflated == size).then_some(out)
}

/// Returns `true` if another member may begin within `input` (RFC 1952, 2.3): its first three bytes, and flags with three zero
/// bits.
fn has_other_member(input: &[u8]) -> bool {
    let after_first = input.get(1..).unwrap_or_default();
    FIND_MEMBER
        .find_iter(after_first)
        .any(|at| after_first.get(at + 3).is_none_or(|flags| flags & 0xe0 == 0))
}

/// Compresses `input` to one gzip member of level 1 to 12; other levels are clamped.
pub(super) fn compress(level: u32, input: &[u8]) -> Option<Vec<u8>> {
    let level = level.clamp(1, 12);
    let valid = CompressionLvl::new(level.cast_signed()).ok()?;
    COMPRESSORS.with_borrow_mut(|kept| {
        let state = kept.entry(level).or_insert_with(|| Compressor::new(valid));
        let mut out = vec![0; state.gzip_compress_bound(input.len())];
        let length = state.gzip_compress(input, &mut out).ok()?;
        out.truncate(length);
        out.shrink_to_fit();
        Some(out)
    })
}
