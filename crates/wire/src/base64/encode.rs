//! Writes padded base64 (RFC 4648 §4).

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

/// The base64 length of this number of bytes.
pub(crate) fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Appends bytes in base64.
pub fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + encoded_len(bytes.len()), 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, target).unwrap_or_default();
    out.truncate(start + written);
}
