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
        let mut compression = Self::None;
        // `identity` beside another coding changes nothing (RFC 9110, 8.4.1).
        for coding in content_encoding.unwrap_or_default().split(',').map(str::trim) {
            match (compression, coding.to_ascii_lowercase().as_str()) {
                (_, "" | "identity") => {}
                (Self::None, "gzip") => compression = Self::Gzip,
                _ => return None,
            }
        }
        Some(compression)
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
        Encoding::Json => {
            let read = |kind| Request::from_json(kind, &body, &limits);
            let request = read(kind).map_err(|error| Refusal::Invalid(error.to_string()))?;
            // Keys that nobody knows are left out, and another signal's is one of them: all of that would be gone.
            let is_of = |other: &SignalKind| read(*other).is_ok_and(|other| other.items() > 0);
            if request.items() == 0
                && let Some(other) = SignalKind::ALL.iter().find(|other| is_of(other))
            {
                let text =
                    format!("the body holds {other}, which are received at {}", other.path());
                return Err(Refusal::Invalid(text));
            }
            Ok(request)
        }
    }
}
