//! Decodes the content of a compact line.

use super::context::{self, Context};
use super::header::ReadHeader;
use super::read::{Bytes, Rebuilder};
use crate::base91;
use crate::gzip::{self, InflateError};
use crate::request::{Limits, Malformed, Request, UncheckedRequest};

/// Decodes the requests of a compact line that a function of this context wrote.
///
/// # Errors
/// If a check fails. Names of the context that the line does not use may be wrong.
pub fn decode(
    text: &str,
    context: &Context<'_>,
    limits: &Limits,
) -> Result<Vec<Request>, CompactError> {
    decode_counted(text, context, limits, &mut 0)
}

/// Like [`decode`], and adds the bytes that it inflated and rebuilt to `inflated`, also if it fails.
pub(crate) fn decode_counted(
    text: &str,
    context: &Context<'_>,
    limits: &Limits,
    inflated: &mut usize,
) -> Result<Vec<Request>, CompactError> {
    let packed = base91::decode(text.as_bytes()).ok_or(CompactError::NotText)?;
    let mut bytes = Bytes(&packed);
    let header = ReadHeader::read(&mut bytes, context)?;
    let (body, checksum) = bytes.unread().split_last_chunk::<2>().ok_or(CompactError::Corrupt)?;
    let max_bytes = limits.inflated_bytes;
    let mut skeleton = Vec::new();
    let inflating = inflate_skeleton(&header, body, max_bytes, &mut skeleton);
    *inflated += skeleton.len();
    let deflated_bytes = inflating?;
    let holes = body.get(deflated_bytes..).unwrap_or_default();
    let mut rebuilder = Rebuilder::new(&skeleton, holes, header.context, header.unit, max_bytes);
    let rebuilding = rebuilder.requests();
    *inflated += max_bytes - rebuilder.bytes_left;
    let requests = rebuilding?;
    if !rebuilder.holes.unread().is_empty() {
        return Err(CompactError::Corrupt);
    }
    let checked = packed.get(..packed.len() - checksum.len()).unwrap_or_default();
    if checksum_of(checked, &requests) != *checksum {
        return Err(CompactError::Checksum);
    }
    UncheckedRequest::check_all(requests, limits).map_err(CompactError::Malformed)
}

/// Inflates the skeleton at the beginning of `body`. Returns the number of its bytes there.
fn inflate_skeleton(
    header: &ReadHeader<'_>,
    body: &[u8],
    max_bytes: usize,
    skeleton: &mut Vec<u8>,
) -> Result<usize, CompactError> {
    let dictionary = header.dictionary;
    let codes: &[u8] = if header.has_shared_codes { &dictionary.header } else { &[] };
    let stream = [codes, body].concat();
    let read = gzip::inflate_with_dictionary(dictionary.text, &stream, max_bytes, skeleton)
        .map_err(CompactError::Inflate)?;
    read.checked_sub(codes.len()).ok_or(CompactError::Corrupt)
}

/// The checksum of the encoded bytes and of the requests that they became.
fn checksum_of(encoded: &[u8], requests: &[UncheckedRequest]) -> [u8; 2] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(encoded);
    for request in requests {
        hasher.update(&request.bytes);
    }
    context::low_bytes(hasher.finalize())
}

/// Why the content of a compact line does not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    #[error("the compact line has characters outside its alphabet")]
    NotText,
    /// Codes or lengths that contradict each other, or an early end.
    #[error("the compact line is corrupt or cut off")]
    Corrupt,
    #[error("the compact line needs dictionary {0}: update this program")]
    UnknownDictionary(u8),
    /// Written by another function, account or log stream. The line refers to these names.
    #[error("the compact line was written with another {0}")]
    OtherContext(String),
    #[error("the compact line does not inflate: {0}")]
    Inflate(InflateError),
    #[error("the compact line decodes to more bytes than allowed")]
    TooLarge,
    #[error("the compact line is corrupt (checksum)")]
    Checksum,
    #[error("the compact line holds no OTLP request: {0}")]
    Malformed(Malformed),
}
