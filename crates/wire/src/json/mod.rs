//! OTLP/JSON, read and written with the tables of `schema`.

#[cfg(test)]
mod properties;
mod read;
mod scalar;
mod write;

pub(crate) use read::{KeyIn, read};
pub(crate) use scalar::text;

use crate::request::Malformed;

/// The reason why JSON is not an OTLP request. Names messages and keys, never the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON: kind and position of the error.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// Not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A value of the wrong type, or out of range.
    #[error("{message}: `{key}` is not {expected}")]
    Value {
        /// The message that contains the value.
        message: &'static str,
        /// The key of the value.
        key: &'static str,
        /// The expected value.
        expected: &'static str,
    },
    /// A key that occurs twice, in one spelling or both, which is ambiguous.
    #[error("{message}: `{key}` occurs twice")]
    Twice {
        /// The message that contains the key.
        message: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A second value of a group of which only one may be set.
    #[error("{message}: `{key}` is a second value where one is allowed")]
    SecondChoice {
        /// The message that contains the values.
        message: &'static str,
        /// The key of the second.
        key: &'static str,
    },
    /// The request would be larger than [`Limits::inflated_bytes`](crate::Limits::inflated_bytes).
    #[error("request becomes larger than {max_bytes} bytes")]
    TooLarge {
        /// The number of bytes allowed.
        max_bytes: usize,
    },
    /// Nested too deep, or too many items.
    #[error("{0}")]
    Malformed(Malformed),
}
