//! The reason why a claimed OTLP line is invalid.

use super::payload::PayloadError;
use crate::compact::CompactError;
use crate::json::JsonError;
use std::fmt;

/// The reason why a claimed OTLP line is invalid.
#[derive(Debug)]
#[non_exhaustive]
pub enum LineError {
    /// Not a JSON object, or a truncated one.
    Json(serde_json::Error),
    /// No `payload`, or one that is neither text nor an object.
    NoPayload,
    /// An undecodable payload.
    Payload(PayloadError),
    /// An undecodable compact line.
    Compact(CompactError),
    /// Bare JSON that is not OTLP/JSON.
    NotOtlp(JsonError),
    /// More items than [`Limits::items`](crate::Limits::items) leaves for the line.
    TooManyItems {
        /// Items of the line.
        found: usize,
        /// Remaining items.
        left: usize,
    },
    /// Items below the average size of [`Limits::least_item_bytes`](crate::Limits::least_item_bytes).
    SmallItems {
        /// Items of the line.
        found: usize,
        /// Total bytes of the items.
        bytes: usize,
        /// Minimum bytes of an item.
        least: usize,
    },
    /// Several lines of a text with very many, refused together.
    Together {
        /// The number of lines.
        lines: usize,
        /// The reason for the first of them.
        first: Box<Self>,
    },
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // serde_json names the position and the kind of error, never the content.
            Self::Json(error) => write!(f, "line is not JSON: {error}"),
            Self::NoPayload => f.write_str("line has no payload"),
            Self::Payload(error) => {
                write!(f, "{error}")?;
                match std::error::Error::source(error) {
                    Some(source) => write!(f, ": {source}"),
                    None => Ok(()),
                }
            }
            Self::Compact(error) => error.fmt(f),
            Self::NotOtlp(error) => write!(f, "line is not an OTLP/JSON request: {error}"),
            Self::TooManyItems { found, left } => {
                write!(f, "{found} items in the line, but at most {left} more are read")
            }
            Self::SmallItems { found, bytes, least } => {
                write!(f, "{found} items in {bytes} bytes, but an item has at least {least}")
            }
            Self::Together { lines, first } => {
                write!(f, "{lines} more lines of the log event, the first of them: {first}")
            }
        }
    }
}

impl std::error::Error for LineError {}
