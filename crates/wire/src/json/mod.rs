//! OTLP/JSON, read and written with the tables of `schema`.

mod read;
mod scalar;
mod write;

pub(crate) use read::{KeyIn, read};
pub(crate) use scalar::text;

use crate::request::Malformed;
use std::fmt;

/// The reason why JSON is not an OTLP request. Names messages and keys, never the content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON: kind and position of the error.
    Syntax(String),
    /// Not an object.
    NotAnObject,
    /// A value of the wrong type, or out of range.
    Value {
        /// The message that contains the value.
        message: &'static str,
        /// The key of the value.
        key: &'static str,
        /// The expected value.
        expected: &'static str,
    },
    /// A key that occurs twice, in one spelling or both, which is ambiguous.
    Twice {
        /// The message that contains the key.
        message: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A second value of a group of which only one may be set.
    SecondChoice {
        /// The message that contains the values.
        message: &'static str,
        /// The key of the second.
        key: &'static str,
    },
    /// The request would be larger than [`Limits::inflated_bytes`](crate::Limits::inflated_bytes).
    TooLarge {
        /// The number of bytes allowed.
        max_bytes: usize,
    },
    /// Nested too deep, or too many items.
    Malformed(Malformed),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Syntax(mistake) => write!(f, "not JSON: {mistake}"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Value { message, key, expected } => {
                write!(f, "{message}: `{key}` is not {expected}")
            }
            Self::Twice { message, key } => write!(f, "{message}: `{key}` occurs twice"),
            Self::SecondChoice { message, key } => {
                write!(f, "{message}: `{key}` is a second value where one is allowed")
            }
            Self::TooLarge { max_bytes } => {
                write!(f, "request becomes larger than {max_bytes} bytes")
            }
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl std::error::Error for JsonError {}
