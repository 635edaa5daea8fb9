//! Decodes the payload of a line: base64, gzip, protobuf or JSON, detected from its bytes because some writers set wrong labels.

use super::reading::LineError;
use crate::base64;
use crate::gzip;
use crate::json::{self, JsonError};
use crate::request::{Limits, Request};
use crate::signal::SignalKind;

/// Decodes a text payload. `named` is the signal of the line's endpoint. The bytes that it inflated are added to `inflated`.
pub(super) fn decode(
    payload: &str,
    named: Option<SignalKind>,
    limits: &Limits,
    inflated: &mut usize,
) -> Result<Vec<Request>, LineError> {
    if payload.is_empty() {
        return Err(LineError::EmptyPayload);
    }
    if payload.trim_ascii_start().starts_with('{') {
        return json::read(payload, named, limits).map_err(LineError::PayloadJson);
    }
    let bytes = base64::with_decoded(payload, |bytes| inflate(bytes, limits, inflated))
        .ok_or(LineError::NotBase64)??;
    // No OTLP field begins with the byte of a brace. But white space before a brace may be protobuf: a request whose first
    // container has 123 bytes begins with a newline and a brace.
    if bytes.trim_ascii_start().starts_with(b"{") {
        if !bytes.starts_with(b"{")
            && let Ok(request) = Request::check_any(named, bytes.clone(), limits)
        {
            return Ok(vec![request]);
        }
        let json = std::str::from_utf8(&bytes).map_err(|_| JsonError::NotUtf8);
        return json
            .and_then(|json| json::read(json, named, limits))
            .map_err(LineError::PayloadJson);
    }
    let request = Request::check_any(named, bytes, limits).map_err(LineError::Malformed)?;
    Ok(vec![request])
}

/// The inflated bytes, or a copy of uncompressed ones.
fn inflate(bytes: &[u8], limits: &Limits, inflated: &mut usize) -> Result<Vec<u8>, LineError> {
    if gzip::is_gzip(bytes) {
        gzip::inflate_counted(bytes, limits.inflated_bytes, inflated).map_err(LineError::Gzip)
    } else {
        Ok(bytes.to_vec())
    }
}
