//! The JSON around the payload of an OTLP line.

use super::{COMPACT_MARKER, MARKER};
use crate::signal::SignalKind;
use crate::timestamp;

#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    pub source: &'a str,
    /// The configured application log level in Lambda's spelling, with `AWS_LAMBDA_LOG_FORMAT=JSON`. Without it Lambda treats the
    /// line as INFO and may drop it.
    pub level: Option<&'a str>,
    /// Unix time in nanoseconds, with `AWS_LAMBDA_LOG_FORMAT=JSON`. Without an RFC 3339 `timestamp` Lambda treats the line as
    /// INFO.
    pub unix_nanos: Option<u64>,
    /// `true` if sending the line to a backend failed, so that a subscription can select such lines.
    pub spill: bool,
}

impl Envelope<'_> {
    pub(super) fn push_head(&self, signal: SignalKind, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(MARKER.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
        out.extend_from_slice(b"\",\"source\":");
        push_json_string(out, self.source);
        out.extend_from_slice(b",\"endpoint\":\"");
        out.extend_from_slice(signal.path().as_bytes());
        out.extend_from_slice(
            b"\",\"method\":\"POST\",\"content-type\":\"application/x-protobuf\"",
        );
        out.extend_from_slice(b",\"content-encoding\":\"gzip\"");
        if self.spill {
            out.extend_from_slice(SPILL);
        }
        self.push_time_and_level(out);
        out.extend_from_slice(b",\"payload\":\"");
    }
}

impl Envelope<'_> {
    /// Appends what stands in a compact line before its content.
    pub(super) fn push_compact_head(out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(COMPACT_MARKER.as_bytes());
        out.extend_from_slice(b"\":\"");
    }

    /// Appends what stands in a compact line behind its content, the newline included.
    pub(super) fn push_compact_end(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        if self.spill {
            out.extend_from_slice(SPILL);
        }
        self.push_time_and_level(out);
        out.extend_from_slice(b"}\n");
    }

    fn push_time_and_level(&self, out: &mut Vec<u8>) {
        if let Some(unix_nanos) = self.unix_nanos {
            out.extend_from_slice(b",\"timestamp\":\"");
            out.extend_from_slice(timestamp::rfc3339_millis(unix_nanos).as_bytes());
            out.push(b'"');
        }
        if let Some(level) = self.level {
            out.extend_from_slice(b",\"level\":");
            push_json_string(out, level);
        }
    }
}

/// A key, not only a bit of a compact line's content, because filter patterns select keys.
const SPILL: &[u8] = b",\"spill\":true";

/// The part after the payload, including the newline.
pub(super) const LINE_END: &[u8] = b"\",\"base64\":true}\n";

fn push_json_string(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    // Serializing a string into memory cannot fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}
