//! Why a compact line does not decode.

use crate::gzip::InflateError;
use crate::request::Malformed;
use std::fmt;

/// Why the content of a compact line does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompactError {
    /// Characters that no writer uses.
    NotText,
    /// Codes or lengths that contradict each other, or an early end.
    Corrupt,
    /// Encoded with a dictionary that this version does not have.
    UnknownDictionary(u8),
    /// Written by another function, or in another log stream or account.
    OtherContext,
    /// The skeleton does not inflate.
    Inflate(InflateError),
    /// The requests have more bytes than allowed.
    TooLarge,
    /// The rebuilt requests differ from those that were written.
    Checksum,
    /// A rebuilt request is no OTLP.
    Malformed(Malformed),
}

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("the compact line has characters outside its alphabet"),
            Self::Corrupt => f.write_str("the compact line is corrupt or cut off"),
            Self::UnknownDictionary(number) => write!(
                f,
                "the compact line needs dictionary {number}, which this version does not have"
            ),
            Self::OtherContext => f.write_str(
                "the compact line was written by another function, or in another log stream or account",
            ),
            Self::Inflate(error) => write!(f, "the compact line does not inflate: {error}"),
            Self::TooLarge => f.write_str("the compact line decodes to more bytes than allowed"),
            Self::Checksum => f.write_str("the compact line is corrupt (checksum)"),
            Self::Malformed(error) => write!(f, "the compact line holds no OTLP request: {error}"),
        }
    }
}

impl std::error::Error for CompactError {}
