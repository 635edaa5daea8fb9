//! Decodes the payload of a line: base64, gzip, protobuf or JSON, detected from its bytes because some writers set wrong labels.

use crate::base64;
use crate::gzip::{self, InflateError};
use crate::json::{self, JsonError};
use crate::request::{Limits, Malformed, Request};
use crate::signal::SignalKind;
use std::fmt;

/// The reason why a payload is not an OTLP request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload is empty text.
    Empty,
    /// Not base64 in any spelling.
    NotBase64,
    /// Invalid gzip.
    Gzip(InflateError),
    /// Compressed with an unsupported algorithm.
    Encoding(&'static str),
    /// JSON, but not OTLP/JSON.
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
            Self::Malformed(_) => f.write_str("payload is not an OTLP request"),
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

/// Decodes a text payload. `named` is the signal of the line's endpoint. The bytes that it inflated are added to `inflated`.
pub(super) fn decode(
    payload: &str,
    named: Option<SignalKind>,
    limits: &Limits,
    inflated: &mut usize,
) -> Result<Vec<Request>, PayloadError> {
    if payload.is_empty() {
        return Err(PayloadError::Empty);
    }
    if payload.trim_ascii_start().starts_with('{') {
        return json::read(payload, named, limits).map_err(PayloadError::Json);
    }
    let bytes = base64::with_decoded(payload, |bytes| inflate(bytes, limits, inflated))
        .ok_or(PayloadError::NotBase64)??;
    // No OTLP field begins with the byte of a brace. But white space before a brace may be protobuf: a request whose first
    // container has 123 bytes begins with a newline and a brace.
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

/// The inflated bytes, or a copy of uncompressed ones.
fn inflate(bytes: &[u8], limits: &Limits, inflated: &mut usize) -> Result<Vec<u8>, PayloadError> {
    if gzip::is_gzip(bytes) {
        gzip::inflate_counted(bytes, limits.inflated_bytes, inflated).map_err(PayloadError::Gzip)
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Err(PayloadError::Encoding("zstd"))
    } else {
        Ok(bytes.to_vec())
    }
}
