//! Decodes the body of a request, within a bound of memory.

use super::grpc;
use super::response::{Encoding, Refusal};
use ruzstd::decoding::StreamingDecoder;
use std::io::Read as _;
use wire::gzip::{self, InflateError};
use wire::{Limits, Request, SignalKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) encoding: Encoding,
    pub(crate) compression: ContentCoding,
    /// The body is one gRPC message.
    pub(crate) is_grpc: bool,
}

pub(crate) fn read(
    kind: SignalKind,
    format: Format,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<Request, Refusal> {
    let (compression, body) = if format.is_grpc {
        grpc::message_content(body, format.compression)?
    } else {
        (format.compression, body)
    };
    let body = compression.inflate(body, max_bytes).map_err(|error| match error {
        InflateError::TooLarge { max_bytes } => Refusal::TooLarge { max_bytes },
        InflateError::EndsEarly => {
            Refusal::Invalid(format!("the {} stream ends early", compression.name()))
        }
        _ => Refusal::Invalid(format!("the {} stream is corrupt", compression.name())),
    })?;
    let limits = Limits { inflated_bytes: max_bytes, ..Limits::default() };
    let read = match format.encoding {
        Encoding::Json => {
            let read = |kind| Request::from_json(kind, &body, &limits);
            let request = read(kind);
            let has_items = |kind: &SignalKind| read(*kind).is_ok_and(|other| other.items() > 0);
            // Unknown keys are ignored, and those of another signal are unknown: its items would be lost silently.
            if request.as_ref().is_ok_and(|request| request.items() == 0)
                && let Some(other) = SignalKind::ALL.into_iter().find(has_items)
            {
                let path = other.path();
                return Err(Refusal::Invalid(format!(
                    "the body holds {other}, which are received at {path}"
                )));
            }
            request.map_err(|error| error.to_string())
        }
        Encoding::Protobuf => {
            Request::check_repairing(kind, body, &limits).map_err(|error| error.to_string())
        }
    };
    read.map(Request::without_foreign_names).map_err(Refusal::Invalid)
}

/// Reads a body like the receivers, for the fuzz targets.
pub fn read_body(
    kind: SignalKind,
    content_type: &str,
    content_encoding: &str,
    is_grpc: bool,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<Request, Refusal> {
    let compression = ContentCoding::of(Some(content_encoding));
    let format = Format {
        encoding: Encoding::of(content_type).ok_or(Refusal::ContentType)?,
        compression: compression.ok_or(Refusal::ContentEncoding)?,
        is_grpc,
    };
    read(kind, format, body, max_bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    None,
    Gzip,
    Deflate,
    Zstd,
}

/// The supported names, for error messages.
pub(crate) const ACCEPTED: &str = "gzip, deflate, zstd, identity";

impl ContentCoding {
    /// Parses `content-encoding` or `grpc-encoding`. Returns `None` if it is unknown.
    pub(crate) fn of(content_encoding: Option<&str>) -> Option<Self> {
        let mut compression = Self::None;
        // `identity` with another coding has no effect (RFC 9110, 8.4.1).
        for coding in content_encoding.unwrap_or_default().split(',').map(str::trim) {
            compression = match (compression, coding.to_ascii_lowercase().as_str()) {
                (same, "" | "identity") => same,
                (Self::None, "gzip") => Self::Gzip,
                (Self::None, "deflate") => Self::Deflate,
                (Self::None, "zstd") => Self::Zstd,
                _ => return None,
            }
        }
        Some(compression)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    pub(super) fn inflate(self, body: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        match self {
            Self::None => Ok(body),
            Self::Gzip => gzip::inflate(&body, max_bytes),
            Self::Deflate => gzip::inflate_deflate(&body, max_bytes),
            Self::Zstd => inflate_zstd(&body, max_bytes),
        }
    }
}

/// The largest window that a decoder should take (RFC 8878, 3.1.1.1.2): a frame may say less than it needs, but not more.
const MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

fn inflate_zstd(mut input: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    loop {
        let decoder = StreamingDecoder::new_with_max_window_size(&mut input, MAX_WINDOW_BYTES)
            .map_err(|_| InflateError::Corrupt)?;
        let room = max_bytes - out.len();
        // One byte more than allowed distinguishes a frame of exactly that size from a longer one.
        let mut frame = decoder.take(room as u64 + 1);
        frame.read_to_end(&mut out).map_err(|_| InflateError::Corrupt)?;
        if out.len() > max_bytes {
            return Err(InflateError::TooLarge { max_bytes });
        }
        if input.is_empty() {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"an order is an order is an order, says the order";
    /// That, by `zstd -19 --check` 1.5.
    const FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x04\x68\x15\x01\x00\xe0\x61\x6e\x20\x6f\x72\x64\x65\x72\x20\x69\x73\x20\x2c\x20\
        \x73\x61\x79\x73\x20\x74\x68\x65\x20\x6f\x72\x64\x65\x72\x01\x00\xa7\x4b\x12\xa4\xc1\x55\xdc";

    #[test]
    fn all_valid_zstd_frames_are_inflated_up_to_the_limit() {
        assert_eq!(inflate_zstd(FRAME, TEXT.len()).unwrap(), TEXT);
        let two = [FRAME, FRAME].concat();
        assert_eq!(inflate_zstd(&two, 2 * TEXT.len()).unwrap(), [TEXT, TEXT].concat());
        let too_large = |max_bytes| Err(InflateError::TooLarge { max_bytes });
        assert_eq!(inflate_zstd(FRAME, TEXT.len() - 1), too_large(TEXT.len() - 1));
        assert_eq!(inflate_zstd(&two, 2 * TEXT.len() - 1), too_large(2 * TEXT.len() - 1));
        for bytes in 0..FRAME.len() {
            assert_eq!(inflate_zstd(&FRAME[..bytes], 1000), Err(InflateError::Corrupt), "{bytes}");
        }
        assert_eq!(inflate_zstd(&[FRAME, b"x"].concat(), 1000), Err(InflateError::Corrupt));
        // The sixth byte is the window's size: here 128 MiB.
        let mut large = FRAME.to_vec();
        large[5] = 0x88;
        assert_eq!(inflate_zstd(&large, 1000), Err(InflateError::Corrupt));
    }
}
