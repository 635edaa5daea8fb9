//! The content of a log event's text: decoded requests, undecodable lines, and other text.

use super::headers::without_headers;
use crate::compact::CompactError;
use crate::gzip::InflateError;
use crate::ids::to_hex;
use crate::json::JsonError;
use crate::request::{Malformed, Request};
use sha2::{Digest as _, Sha256};

#[derive(Debug, Default)]
pub struct LineReading {
    /// Requests, in the order of their lines. A line of OTLP/JSON may hold one of each signal.
    pub decoded: Vec<Request>,
    /// Claimed OTLP lines that did not decode. If a text has very many, the last element represents all further ones.
    pub undecodable: Vec<UndecodableLine>,
    /// Other text around the lines, which is a log line of its own, without the values of `headers`.
    pub text: Option<String>,
    /// The start of an undecodable line without an end, which later log events may continue, see [`Rejoin`](crate::Rejoin).
    pub unfinished_at: Option<usize>,
    /// Bytes that the lines that are undecodable or have no item inflated to, which count toward
    /// [`Limits::refused_bytes`](crate::Limits::refused_bytes).
    pub refused_bytes: usize,
}

/// A claimed OTLP line that did not decode, or all further ones in a text with very many.
#[derive(Debug)]
pub struct UndecodableLine {
    pub reason: LineError,
    pub bytes: usize,
    /// SHA-256 of the (first) line, in lower-case hexadecimal, which identifies it without printing it.
    pub sha256: String,
    /// The line itself, without the value of `headers`; several lines have a newline between them.
    pub line: String,
}

impl UndecodableLine {
    pub(super) fn new(line: &str, reason: LineError) -> Self {
        let line = line.trim_end();
        Self {
            reason,
            bytes: line.len(),
            sha256: to_hex(&Sha256::digest(line.as_bytes())),
            line: without_headers(line),
        }
    }

    pub(super) fn add(&mut self, next: &Self) {
        self.bytes += next.bytes;
        self.line.push('\n');
        self.line.push_str(&next.line);
        if let LineError::Together { lines, .. } = &mut self.reason {
            *lines += 1;
        } else {
            let first = std::mem::replace(&mut self.reason, LineError::NoPayload);
            self.reason = LineError::Together { lines: 2, first: Box::new(first) };
        }
    }

    pub fn lines(&self) -> usize {
        match self.reason {
            LineError::Together { lines, .. } => lines,
            _ => 1,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Not a JSON object, or a truncated one. serde_json names the position and the kind of error, never the content.
    #[error("line is not JSON: {0}")]
    Json(serde_json::Error),
    #[error("line has no payload")]
    NoPayload,
    #[error("payload is empty")]
    EmptyPayload,
    #[error("payload is not base64")]
    NotBase64,
    #[error("payload does not inflate: {0}")]
    Gzip(InflateError),
    #[error("payload is no OTLP/JSON request: {0}")]
    PayloadJson(JsonError),
    #[error("payload is not an OTLP request: {0}")]
    Malformed(Malformed),
    #[error("{0}")]
    Compact(CompactError),
    #[error("line is not an OTLP/JSON request: {0}")]
    NotOtlp(JsonError),
    /// More items than [`Limits::items`](crate::Limits::items) leaves for the line.
    #[error("{found} items in the line, but at most {left} more are read")]
    TooManyItems { found: usize, left: usize },
    /// Items below the average size of [`Limits::least_item_bytes`](crate::Limits::least_item_bytes).
    #[error("{found} items in {bytes} bytes, but an item has at least {least}")]
    SmallItems { found: usize, bytes: usize, least: usize },
    /// Several lines of a text with very many, refused together.
    #[error("{lines} more lines of the log event, the first of them: {first}")]
    Together { lines: usize, first: Box<Self> },
}
