//! Turns the body of a request into one checked request, within the bytes that may be in memory.

use super::response::{Encoding, Refusal};
use wire::gzip::{self, InflateError};
use wire::{Limits, Request, SignalKind};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
}

impl Compression {
    pub(crate) fn of(content_encoding: Option<&str>) -> Option<Self> {
        match content_encoding.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Inflates, reads and checks a body.
pub(crate) fn read(
    kind: SignalKind,
    encoding: Encoding,
    compression: Compression,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<Request, Refusal> {
    let body = match compression {
        Compression::None => body,
        Compression::Gzip => gzip::inflate(&body, max_bytes).map_err(|error| match error {
            InflateError::TooLarge { max_bytes } => Refusal::TooLarge { max_bytes },
            other => Refusal::Invalid(other.to_string()),
        })?,
    };
    let limits = Limits { inflated_bytes: max_bytes, ..Limits::default() };
    match encoding {
        Encoding::Protobuf => {
            Request::check(kind, body, &limits).map_err(|error| Refusal::Invalid(error.to_string()))
        }
        Encoding::Json => Request::from_json(kind, &body, &limits)
            .map_err(|error| Refusal::Invalid(error.to_string())),
    }
}
