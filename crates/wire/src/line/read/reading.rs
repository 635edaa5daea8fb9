//! The content of a log event's text: decoded requests, undecodable lines, and other text.

use crate::ids::to_hex;
use crate::line::error::LineError;
use crate::line::headers::without_headers;
use crate::request::Request;
use sha2::{Digest as _, Sha256};

/// The content of one log event's text.
#[derive(Debug, Default)]
pub struct LineReading {
    /// Requests, in the order of their lines.
    pub decoded: Vec<DecodedLine>,
    /// Claimed OTLP lines that did not decode. If a text has very many, the last element represents all further ones.
    pub undecodable: Vec<UndecodableLine>,
    /// Other text around the lines, which is a log line of its own, without the values of `headers`.
    pub text: Option<String>,
    /// The start of an undecodable line without an end, which later log events may continue, see [`Rejoin`](crate::Rejoin).
    pub unfinished_at: Option<usize>,
    /// Bytes that the undecodable lines inflated to, which count toward [`Limits::refused_bytes`](crate::Limits::refused_bytes).
    pub refused_bytes: usize,
}

/// A decoded request. A line of OTLP/JSON may hold one of each signal.
#[derive(Debug)]
pub struct DecodedLine {
    /// The request, as protobuf.
    pub request: Request,
    /// `true` for partial spans.
    pub is_partial: bool,
}

/// A claimed OTLP line that did not decode, or all further ones in a text with very many.
#[derive(Debug)]
pub struct UndecodableLine {
    /// The reason.
    pub reason: LineError,
    /// Size in bytes.
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

    /// Returns the number of lines that this value represents.
    pub fn lines(&self) -> usize {
        match self.reason {
            LineError::Together { lines, .. } => lines,
            _ => 1,
        }
    }
}
