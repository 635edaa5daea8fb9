//! The reason why bytes are not an OTLP request.

use crate::protobuf::BadField;
use std::fmt;

/// The reason why bytes are not an OTLP request of the expected signal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Not protobuf at all.
    Field {
        /// The message with the invalid bytes.
        message: &'static str,
        /// The error.
        error: BadField,
    },
    /// A field has another wire type than in OTLP.
    WrongType {
        /// The message that contains the field.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// A string is not UTF-8.
    NotUtf8 {
        /// The message that contains the string.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// Messages are nested deeper than [`Limits::nesting`](crate::Limits::nesting).
    TooDeep(usize),
    /// More items than [`Limits::items`](crate::Limits::items).
    TooManyItems {
        /// Number of items found.
        found: usize,
        /// Number of items allowed.
        allowed: usize,
    },
    /// More messages than [`Limits::messages`](crate::Limits::messages), the number here.
    TooManyMessages(usize),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { message, error } => write!(f, "{message}: {error}"),
            Self::WrongType { message, field } => {
                write!(f, "{message}: field {field} has a wire type that OTLP does not give it")
            }
            Self::NotUtf8 { message, field } => {
                write!(f, "{message}: field {field} is not UTF-8 text")
            }
            Self::TooDeep(limit) => write!(f, "messages are nested deeper than {limit} levels"),
            Self::TooManyItems { found, allowed } => {
                write!(f, "{found} items in one request, but the limit leaves room for {allowed}")
            }
            Self::TooManyMessages(limit) => {
                write!(f, "more than {limit} attributes, values and other messages in one request")
            }
        }
    }
}

impl std::error::Error for Malformed {}
