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
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON: kind and position of the error.
    #[error("not JSON: {0}")]
    Syntax(String),
    #[error("not a JSON object")]
    NotAnObject,
    /// A value of the wrong type or out of range, an ambiguous one under a key that occurs twice, or a second one of a group.
    #[error("{message}: `{key}` {problem}")]
    Value { message: &'static str, key: &'static str, problem: &'static str },
    #[error("request becomes larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    /// Nested too deep, or too many items.
    #[error("{0}")]
    Malformed(Malformed),
}
