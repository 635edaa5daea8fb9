//! Decodes the payload of a line: base64, gzip, protobuf or JSON, told by its bytes and not by the line's labels, which some
//! writers set wrongly.

use crate::base64;
use crate::gzip::{self, InflateError};
use crate::json::{self, JsonError};
use crate::request::{Limits, Malformed, Request};
use crate::signal::SignalKind;
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
pub(super) fn decode(
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
    let bytes = base64::with_decoded(payload, |bytes| inflate(bytes, limits))
        .ok_or(PayloadError::NotBase64)??;
    // No field of OTLP begins with the byte of a brace. But space before one may be protobuf too: a request whose first container
    // has 123 bytes begins with a newline and a brace.
    if bytes.trim_ascii_start().starts_with(b"{") {
        if !bytes.starts_with(b"{")
            && let Ok(request) = Request::check_any(named, bytes.clone(), limits)
        {
            return Ok(vec![request]);
        }
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
