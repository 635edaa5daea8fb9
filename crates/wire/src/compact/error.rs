//! The reasons why a compact line does not decode.

use super::context::UsedNames;
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
    /// Encoded with a dictionary that this reader does not have.
    UnknownDictionary(u8),
    /// Written by another function, account or log stream. The line refers to these names.
    OtherContext(UsedNames),
    /// The skeleton does not inflate.
    Inflate(InflateError),
    /// The requests have more bytes than allowed.
    TooLarge,
    /// The rebuilt requests differ from the written ones.
    Checksum,
    /// A rebuilt request is no OTLP.
    Malformed(Malformed),
}

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("the compact line has characters outside its alphabet"),
            Self::Corrupt => f.write_str("the compact line is corrupt or cut off"),
            Self::UnknownDictionary(number) => {
                write!(f, "the compact line needs dictionary {number}: update this program")
            }
            Self::OtherContext(UsedNames { function, account, log_stream }) => {
                let names =
                    [(*function, "function"), (*account, "account"), (*log_stream, "log stream")];
                let used = names.into_iter().filter_map(|(is_used, name)| is_used.then_some(name));
                let used = used.collect::<Vec<_>>().join(" or ");
                write!(f, "the compact line was written with another {used}")
            }
            Self::Inflate(error) => write!(f, "the compact line does not inflate: {error}"),
            Self::TooLarge => f.write_str("the compact line decodes to more bytes than allowed"),
            Self::Checksum => f.write_str("the compact line is corrupt (checksum)"),
            Self::Malformed(error) => write!(f, "the compact line holds no OTLP request: {error}"),
        }
    }
}

impl std::error::Error for CompactError {}
