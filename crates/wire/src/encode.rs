//! Writes requests as OTLP lines, split so that each line stays below a size.

use crate::gzip::Compressor;
use crate::request::Request;
use crate::{MARKER, timestamp, truncate};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What surrounds the payload of a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    /// The resource's service name.
    pub source: &'a str,
    /// The configured application log level, exactly as Lambda gives it, under
    /// `AWS_LAMBDA_LOG_FORMAT=JSON`. Without it Lambda takes the line for INFO and may drop it.
    pub level: Option<&'a str>,
    /// Unix time in nanoseconds, under `AWS_LAMBDA_LOG_FORMAT=JSON`. Without an RFC 3339
    /// `timestamp` Lambda takes the line for INFO.
    pub unix_nanos: Option<u64>,
    /// True on lines that a direct mode could not deliver.
    pub spill: bool,
}

/// Sizes of lines, in bytes, newline included.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// A request with a larger line is split into several lines. 60 KiB: a raw stdout line of
    /// more than 65,536 bytes (the pipe's buffer) may arrive as several log events.
    pub max_bytes: usize,
    /// A single item may have a line of up to this size. 250 KiB: an event of Lambda holds at
    /// most 262,118 bytes. Beyond that its largest attribute values are truncated.
    pub max_item_bytes: usize,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self { max_bytes: 60 * 1024, max_item_bytes: 250 * 1024 }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "truncated and dropped items have to be counted"]
pub struct Written {
    /// Number of lines.
    pub lines: usize,
    /// Number of items (spans, data points, log records) in them.
    pub items: usize,
    /// Number of attribute values that were shortened.
    pub truncated_values: usize,
    /// Number of items that no line can hold even with shortened values.
    pub dropped_items: usize,
}

/// Values of an item that no line can hold are shortened to these lengths, in turn.
const TRUNCATED_VALUE_BYTES: [usize; 4] = [16 * 1024, 4 * 1024, 1024, 256];

/// Encodes requests as lines; keeps its buffers and compression state between calls.
#[derive(Debug)]
pub struct LineEncoder {
    compressor: Compressor,
    limits: LineLimits,
    compressed: Vec<u8>,
}

impl LineEncoder {
    /// An encoder of gzip level 0 (stored) to 9 (smallest).
    pub fn new(level: u32, limits: LineLimits) -> Self {
        Self { compressor: Compressor::new(level), limits, compressed: Vec::new() }
    }

    /// Appends the lines of `request` to `out`, each with its newline. A request without items
    /// writes nothing.
    pub fn encode(
        &mut self,
        envelope: &Envelope<'_>,
        request: Request,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut written = Written::default();
        let mut waiting = vec![request];
        while let Some(request) = waiting.pop() {
            if request.items() == 0 {
                continue;
            }
            let start = out.len();
            self.line(envelope, &request, out);
            let line_bytes = out.len() - start;
            if line_bytes <= self.limits.max_bytes
                || (request.items() == 1 && line_bytes <= self.limits.max_item_bytes)
            {
                written.lines += 1;
                written.items += request.items();
            } else if request.items() > 1 {
                out.truncate(start);
                // As many parts as the compressed size asks for, since halving compresses again.
                let parts = line_bytes.div_ceil(self.limits.max_bytes.max(1)).max(2);
                let items = (request.items() / parts).max(1);
                let (first, rest) = request.split_at(items);
                waiting.push(rest);
                waiting.push(first);
            } else {
                out.truncate(start);
                self.truncated(envelope, &request, out, &mut written);
            }
        }
        written
    }

    fn truncated(
        &mut self,
        envelope: &Envelope<'_>,
        request: &Request,
        out: &mut Vec<u8>,
        written: &mut Written,
    ) {
        let start = out.len();
        for max_value_bytes in TRUNCATED_VALUE_BYTES {
            let (shorter, values) = truncate::truncate(request, max_value_bytes);
            self.line(envelope, &shorter, out);
            if out.len() - start <= self.limits.max_item_bytes {
                written.lines += 1;
                written.items += 1;
                written.truncated_values += values;
                return;
            }
            out.truncate(start);
        }
        written.dropped_items += 1;
    }

    /// Appends one line, whatever its size.
    fn line(&mut self, envelope: &Envelope<'_>, request: &Request, out: &mut Vec<u8>) {
        self.compressed.clear();
        self.compressor.compress(request.bytes(), &mut self.compressed);
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(MARKER.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
        out.extend_from_slice(b"\",\"source\":");
        push_json_string(out, envelope.source);
        out.extend_from_slice(b",\"endpoint\":\"");
        out.extend_from_slice(request.kind().path().as_bytes());
        out.extend_from_slice(
            b"\",\"method\":\"POST\",\"content-type\":\"application/x-protobuf\"",
        );
        out.extend_from_slice(b",\"content-encoding\":\"gzip\"");
        if let Some(unix_nanos) = envelope.unix_nanos {
            out.extend_from_slice(b",\"timestamp\":\"");
            out.extend_from_slice(timestamp::rfc3339_millis(unix_nanos).as_bytes());
            out.push(b'"');
        }
        if let Some(level) = envelope.level {
            out.extend_from_slice(b",\"level\":");
            push_json_string(out, level);
        }
        if envelope.spill {
            out.extend_from_slice(b",\"spill\":true");
        }
        out.extend_from_slice(b",\"payload\":\"");
        push_base64(out, &self.compressed);
        out.extend_from_slice(b"\",\"base64\":true}\n");
    }
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, target).unwrap_or_default();
    out.truncate(start + written);
}

fn push_json_string(out: &mut Vec<u8>, text: &str) {
    // Serializing a string into memory cannot fail.
    let json = serde_json::to_vec(text).unwrap_or_else(|_| b"\"\"".to_vec());
    out.extend_from_slice(&json);
}
