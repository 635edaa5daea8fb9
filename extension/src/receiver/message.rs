//! The message of a gRPC call: a flag, its length, and the request.
//!
//! Source: "gRPC over HTTP2", `Length-Prefixed-Message`.

use super::compression::ContentCoding;
use super::response::Refusal;

/// The flag, and the length as 32 bits in big-endian order.
pub(super) const PREFIX_BYTES: usize = 5;

/// Parses the flag and the length.
fn prefix(begun: &[u8]) -> Option<(u8, usize)> {
    let (&[flag, length @ ..], _) = begun.split_first_chunk::<PREFIX_BYTES>()?;
    Some((flag, usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX)))
}

/// Refuses a message that announces too large a length.
pub(super) fn check(begun: &[u8], max_bytes: usize) -> Result<(), Refusal> {
    match prefix(begun) {
        Some((_, length)) if length > max_bytes => Err(Refusal::TooLarge { max_bytes }),
        _ => Ok(()),
    }
}

/// Returns the content of a call's only message, and its compression: `announced` if the message's flag is set.
pub(super) fn content(
    mut message: Vec<u8>,
    announced: ContentCoding,
) -> Result<(ContentCoding, Vec<u8>), Refusal> {
    let invalid = |what: String| Err(Refusal::Invalid(what));
    let Some((flag, length)) = prefix(&message) else {
        return invalid("the call ends before its message".to_owned());
    };
    let bytes = message.len() - PREFIX_BYTES;
    if bytes < length {
        return invalid(format!("the message ends after {bytes} of its {length} bytes"));
    }
    if bytes > length {
        return invalid(format!("{} bytes follow the only message of a call", bytes - length));
    }
    let compression = match flag {
        0 => ContentCoding::None,
        1 if announced == ContentCoding::None => {
            return invalid("the message is compressed, and no grpc-encoding says how".to_owned());
        }
        1 => announced,
        _ => return invalid(format!("the flag of the message is {flag}, neither 0 nor 1")),
    };
    message.drain(..PREFIX_BYTES);
    Ok((compression, message))
}

/// Makes an uncompressed message.
pub(super) fn of(content: &[u8]) -> Vec<u8> {
    // Answers have a few bytes.
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), content].concat()
}
