//! Gzip by libdeflate, for whole buffers: about two thirds of the time that zlib-rs takes.
//!
//! libdeflate reads neither streams nor several members, and has to be told how much comes out. So this reads one member that is
//! all of its input, and [`inflate`](super::inflate) reads the rest, and says what is wrong with it.

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

/// Deflate makes no more than this of a byte (zlib, "Maximum Expansion Factor").
const MOST_BYTES_OF_ONE: usize = 1032;

/// The gzip member that is all of `input`; `None` where it is not, or does not inflate to at most `max_bytes`.
pub(super) fn inflate(input: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
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
    FIND_MEMBER
        .find_iter(behind_first)
        .any(|at| behind_first.get(at + 3).is_none_or(|flags| flags & 0xe0 == 0))
}

/// One gzip member that holds `input`, of level 1 to 12; others count as the nearest.
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
