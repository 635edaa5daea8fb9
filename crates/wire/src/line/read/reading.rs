//! What the text of a log event holds: decoded requests, lines that did not decode, and other text.

use crate::ids::to_hex;
use crate::line::error::LineError;
use crate::line::headers::without_headers;
use crate::request::Request;
use sha2::{Digest as _, Sha256};

/// What the text of one log event holds.
#[derive(Debug, Default)]
pub struct LineReading {
    /// Requests, in the order of their lines.
    pub decoded: Vec<DecodedLine>,
    /// Lines that claim to be OTLP and did not decode. If a text has very many, the last element represents all further ones.
    pub undecodable: Vec<UndecodableLine>,
    /// Other text around the lines, which is a log line of its own; the values of `headers` are removed.
    pub text: Option<String>,
    /// Where in the text an undecodable line begins whose end is missing: what follows in the
    /// stream may continue it, see [`Rejoin`](crate::Rejoin).
    pub unfinished_at: Option<usize>,
}

/// A decoded request. A line of OTLP/JSON may hold one of each signal.
#[derive(Debug)]
pub struct DecodedLine {
    /// The request, as protobuf.
    pub request: Request,
    /// Its spans had not ended when they were written: where they come to their end elsewhere, those are final.
    pub is_partial: bool,
}

/// A line that claims to be OTLP and did not decode, or all further lines of this kind in a text with very many.
#[derive(Debug)]
pub struct UndecodableLine {
    /// Why.
    pub reason: LineError,
    /// Size in bytes.
    pub bytes: usize,
    /// SHA-256 of the (first) line, in lower-case hexadecimal: to find it again without printing it.
    pub sha256: String,
    /// The line itself, the value of `headers` removed; several lines have a newline between them.
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

    /// Adds the next line of the same text.
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

    /// Returns the number of lines that this value represents.
    pub fn lines(&self) -> usize {
        match self.reason {
            LineError::Together { lines, .. } => lines,
            _ => 1,
        }
    }
}
