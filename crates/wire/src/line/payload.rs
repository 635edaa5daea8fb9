//! Decodes the payload of a line: base64, gzip, protobuf or JSON, detected from its bytes because some writers set wrong labels.

use crate::base64;
use crate::gzip::{self, InflateError};
use crate::json::{self, JsonError};
use crate::request::{Limits, Malformed, Request};
use crate::signal::SignalKind;

/// The reason why a payload is not an OTLP request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload is empty text.
    #[error("payload is empty")]
    Empty,
    /// Not base64 in any spelling.
    #[error("payload is not base64")]
    NotBase64,
    /// Invalid gzip.
    #[error("payload does not inflate: {0}")]
    Gzip(InflateError),
    /// Compressed with an unsupported algorithm.
    #[error("payload is compressed with {0}")]
    Encoding(&'static str),
    /// JSON, but not OTLP/JSON.
    #[error("payload is no OTLP/JSON request: {0}")]
    Json(JsonError),
    /// Not an OTLP request of any signal.
    #[error("payload is not an OTLP request: {0}")]
    Malformed(Malformed),
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
