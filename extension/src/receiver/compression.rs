//! Inflates bodies and messages, within a bound.

use super::zstd;
use wire::gzip::{self, InflateError};

/// The compression of a body.
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
        // `identity` beside another coding has no effect (RFC 9110, 8.4.1).
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

    /// Returns the name in headers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// Inflates a body to at most `max_bytes`.
    pub(super) fn inflate(self, body: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        match self {
            Self::None => Ok(body),
            Self::Gzip => gzip::inflate(&body, max_bytes),
            Self::Deflate => gzip::inflate_deflate(&body, max_bytes),
            Self::Zstd => zstd::inflate(&body, max_bytes),
        }
    }
}
