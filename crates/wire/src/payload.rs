//! Decodes the payload of a line: base64, gzip, protobuf or JSON; what the labels say counts less than
//! what the bytes are.

use crate::SignalKind;
use crate::gzip::{self, InflateError};
use crate::json;
use crate::json_error::JsonError;
use crate::request::{Limits, Malformed, Request};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::GeneralPurpose;
#[cfg(not(feature = "bulk"))]
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
#[cfg(feature = "bulk")]
use std::cell::RefCell;
use std::fmt;

/// Why a payload is no OTLP request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload is empty text.
    Empty,
    /// Not base64 in any spelling.
    NotBase64,
    /// Gzip that does not inflate.
    Gzip(InflateError),
    /// Compressed with something that this version does not read.
    Encoding(&'static str),
    /// JSON, but no OTLP/JSON.
    Json(JsonError),
    /// Not an OTLP request of any signal.
    Malformed(Malformed),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("payload is empty"),
            Self::NotBase64 => f.write_str("payload is not base64"),
            Self::Gzip(_) => f.write_str("payload does not inflate"),
            Self::Encoding(name) => write!(f, "payload is compressed with {name}"),
            Self::Json(_) => f.write_str("payload is no OTLP/JSON request"),
            Self::Malformed(_) => f.write_str("payload is no OTLP request"),
        }
    }
}

impl std::error::Error for PayloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gzip(source) => Some(source),
            Self::Json(source) => Some(source),
            Self::Malformed(source) => Some(source),
            _ => None,
        }
    }
}

/// Decodes a payload of text. `named` is the signal that the line's endpoint names.
pub(crate) fn decode(
    payload: &str,
    named: Option<SignalKind>,
    limits: &Limits,
) -> Result<Vec<Request>, PayloadError> {
    if payload.is_empty() {
        return Err(PayloadError::Empty);
    }
    if payload.trim_ascii_start().starts_with('{') {
        return json::read(payload, named, limits).map_err(PayloadError::Json);
    }
    let bytes = with_base64(payload, |bytes| inflate(bytes, limits))??;
    // No field of OTLP begins with the byte of a brace.
    if bytes.trim_ascii_start().starts_with(b"{") {
        let json = std::str::from_utf8(&bytes).map_err(|_| JsonError::NotUtf8);
        return json.and_then(|json| json::read(json, named, limits)).map_err(PayloadError::Json);
    }
    let request = Request::check_any(named, bytes, limits).map_err(PayloadError::Malformed)?;
    Ok(vec![request])
}

/// What the bytes inflate to, or a copy of them where they are not compressed.
fn inflate(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    if gzip::is_gzip(bytes) {
        gzip::inflate(bytes, limits.inflated_bytes).map_err(PayloadError::Gzip)
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Err(PayloadError::Encoding("zstd"))
    } else {
        Ok(bytes.to_vec())
    }
}

/// Gives what base64 in any spelling holds.
fn with_base64<R>(payload: &str, take: impl FnOnce(&[u8]) -> R) -> Result<R, PayloadError> {
    #[cfg(feature = "bulk")]
    {
        // One buffer for all lines of usual size.
        thread_local! {
            static BUFFER: RefCell<[u8; 8192]> = const { RefCell::new([0; 8192]) };
        }
        if payload.len() <= 8192 {
            return BUFFER.with_borrow_mut(|buffer| {
                let out = base64_simd::Out::from_slice(buffer.as_mut_slice());
                match base64_simd::STANDARD.decode(payload.as_bytes(), out) {
                    Ok(bytes) => Ok(take(bytes)),
                    Err(_) => decode_base64(payload)
                        .map(|bytes| take(&bytes))
                        .ok_or(PayloadError::NotBase64),
                }
            });
        }
    }
    decode_base64(payload).map(|bytes| take(&bytes)).ok_or(PayloadError::NotBase64)
}

/// Decodes base64 as RFC 4648 §4 writes it, padded.
pub fn decode_standard(text: &[u8]) -> Option<Vec<u8>> {
    #[cfg(feature = "bulk")]
    {
        base64_simd::STANDARD.decode_to_vec(text).ok()
    }
    #[cfg(not(feature = "bulk"))]
    {
        STANDARD.decode(text).ok()
    }
}

/// Decodes base64 in any spelling.
pub(crate) fn decode_base64(payload: &str) -> Option<Vec<u8>> {
    if let Some(bytes) = decode_standard(payload.as_bytes()) {
        return Some(bytes);
    }
    // Missing padding, the URL-safe alphabet and MIME line breaks lose nothing, so they are read.
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text: String = payload
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .map(|character| match character {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    GeneralPurpose::new(&URL_SAFE, lenient).decode(text).ok()
}
