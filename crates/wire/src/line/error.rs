//! Why a line that claims to be OTLP is none.

use super::payload::PayloadError;
use crate::json::JsonError;
use std::fmt;

/// Why a line that claims to be OTLP is none.
#[derive(Debug)]
#[non_exhaustive]
pub enum LineError {
    /// Not a JSON object, or not to its end.
    Json(serde_json::Error),
    /// No `payload`, or one that is neither text nor object.
    NoPayload,
    /// A payload that does not decode.
    Payload(PayloadError),
    /// A line of bare JSON that is no OTLP/JSON.
    NotOtlp(JsonError),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // serde_json names the position and the kind of mistake, never the content.
            Self::Json(error) => write!(f, "line is not JSON: {error}"),
            Self::NoPayload => f.write_str("line has no payload"),
            Self::Payload(error) => {
                write!(f, "{error}")?;
                match std::error::Error::source(error) {
                    Some(source) => write!(f, ": {source}"),
                    None => Ok(()),
                }
            }
            Self::NotOtlp(error) => write!(f, "line is no OTLP/JSON request: {error}"),
        }
    }
}

impl std::error::Error for LineError {}
