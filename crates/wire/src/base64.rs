//! Base64: writes RFC 4648 §4, reads any spelling, with SIMD if the feature `bulk` is on.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use ::base64::{
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurposeConfig, general_purpose::GeneralPurpose},
};

pub(crate) fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

pub fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + encoded_len(bytes.len()), 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, target).unwrap_or_default();
    out.truncate(start + written);
}

/// Decodes base64 in any spelling into a reused buffer.
pub(crate) fn with_decoded<R>(text: &str, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
    #[cfg(feature = "bulk")]
    {
        // One buffer for all lines of usual size.
        thread_local! {
            static BUFFER: std::cell::RefCell<[u8; 8192]> = const { std::cell::RefCell::new([0; 8192]) };
        }
        if text.len() <= 8192 {
            return BUFFER.with_borrow_mut(|buffer| {
                let out = base64_simd::Out::from_slice(buffer.as_mut_slice());
                match base64_simd::STANDARD.decode(text.as_bytes(), out) {
                    Ok(bytes) => Some(take(bytes)),
                    Err(_) => decode_any(text).map(|bytes| take(&bytes)),
                }
            });
        }
    }
    decode_any(text).map(|bytes| take(&bytes))
}

/// Decodes padded base64 (RFC 4648 §4).
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    #[cfg(feature = "bulk")]
    {
        base64_simd::STANDARD.decode_to_vec(text).ok()
    }
    #[cfg(not(feature = "bulk"))]
    {
        STANDARD.decode(text).ok()
    }
}

pub(crate) fn decode_any(text: &str) -> Option<Vec<u8>> {
    if let Some(bytes) = decode(text.as_bytes()) {
        return Some(bytes);
    }
    // Missing padding, the URL-safe alphabet and MIME line breaks are unambiguous, so they are accepted.
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let url_safe: String = text
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .map(|character| match character {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    GeneralPurpose::new(&URL_SAFE, lenient).decode(url_safe).ok()
}
