//! Decodes the content of a compact line.

use super::context::{self, Context};
use super::dictionary;
use super::history::Unit;
use super::read::{Bytes, Rebuilder};
use crate::base91;
use crate::gzip::{self, InflateError};
use crate::request::{Limits, Malformed, Request};

/// Reserved bits of the first byte. A line that sets one is refused.
const UNUSED_BITS: u8 = 0b0011_0000;

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
    let [head, number] = bytes.array()?;
    let has_shared_codes = number & 0x80 != 0;
    let number = number & 0x7f;
    let dictionary = dictionary::to_read(number).ok_or(CompactError::UnknownDictionary(number))?;
    let unit = match head >> 6 {
        0 => Unit::Nanos,
        1 => Unit::Micros,
        2 => Unit::Millis,
        _ => return Err(CompactError::Corrupt),
    };
    let used = head & 0x0f;
    if head & UNUSED_BITS != 0 {
        return Err(CompactError::Corrupt);
    }
    let declared = |bit, name| if used & bit == 0 { "" } else { name };
    let mut context = Context {
        function: declared(context::FUNCTION, context.function),
        account: declared(context::ACCOUNT, context.account),
        log_stream: declared(context::LOG_STREAM, context.log_stream),
        region: "",
    };
    if used & context::REGION != 0 {
        let number = usize::from(bytes.byte()?);
        context.region = context::REGIONS.get(number).ok_or(CompactError::Corrupt)?;
    }
    if used & !context::REGION != 0 && bytes.array()? != context.check(used) {
        return Err(CompactError::OtherContext(context::named(used)));
    }
    let (body, checksum) = bytes.0.split_last_chunk::<2>().ok_or(CompactError::Corrupt)?;
    let mut skeleton = Vec::new();
    let header: &[u8] = if has_shared_codes { &dictionary.header } else { &[] };
    let stream = [header, body].concat();
    let max_bytes = limits.inflated_bytes;
    let inflating =
        gzip::inflate_with_dictionary(dictionary.text, &stream, max_bytes, &mut skeleton);
    *inflated += skeleton.len();
    let read = inflating.map_err(CompactError::Inflate)?;
    let deflated = read.checked_sub(header.len()).ok_or(CompactError::Corrupt)?;
    let holes = body.get(deflated..).unwrap_or_default();
    let mut rebuilder = Rebuilder::new(&skeleton, holes, context, unit, max_bytes);
    let rebuilt = rebuilder.requests();
    *inflated += max_bytes - rebuilder.bytes_left;
    let requests = rebuilt?;
    if !rebuilder.holes.0.is_empty() {
        return Err(CompactError::Corrupt);
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(packed.get(..packed.len() - checksum.len()).unwrap_or_default());
    for (_, bytes) in &requests {
        hasher.update(bytes);
    }
    if context::low_bytes(hasher.finalize()) != *checksum {
        return Err(CompactError::Checksum);
    }
    let requests = requests.into_iter().map(|(kind, bytes)| Request::check(kind, bytes, limits));
    requests.collect::<Result<_, _>>().map_err(CompactError::Malformed)
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
