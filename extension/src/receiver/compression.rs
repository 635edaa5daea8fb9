//! How bodies and messages are compressed, and what they inflate to, within a bound.

#[cfg(feature = "zstd")]
use super::zstd;
use wire::gzip::{self, InflateError};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Deflate,
    #[cfg(feature = "zstd")]
    Zstd,
}

/// The names of all, as senders are told them.
#[cfg(feature = "zstd")]
pub(crate) const ACCEPTED: &str = "gzip, deflate, zstd, identity";
#[cfg(not(feature = "zstd"))]
pub(crate) const ACCEPTED: &str = "gzip, deflate, identity";

impl Compression {
    /// By the value of `content-encoding` or `grpc-encoding`; `None` where it is not known.
    pub(crate) fn of(content_encoding: Option<&str>) -> Option<Self> {
        let mut compression = Self::None;
        // `identity` beside another coding changes nothing (RFC 9110, 8.4.1).
        for coding in content_encoding.unwrap_or_default().split(',').map(str::trim) {
            compression = match (compression, coding.to_ascii_lowercase().as_str()) {
                (same, "" | "identity") => same,
                (Self::None, "gzip") => Self::Gzip,
                (Self::None, "deflate") => Self::Deflate,
                #[cfg(feature = "zstd")]
                (Self::None, "zstd") => Self::Zstd,
                _ => return None,
            }
        }
        Some(compression)
    }

    /// As senders call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    /// What `body` inflates to, if that has at most `max_bytes`.
    pub(super) fn inflate(self, body: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        match self {
            Self::None => Ok(body),
            Self::Gzip => gzip::inflate(&body, max_bytes),
            Self::Deflate => gzip::inflate_deflate(&body, max_bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::inflate(&body, max_bytes),
        }
    }
}
