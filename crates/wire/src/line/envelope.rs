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
        push(out, &["{\"", MARKER, "\":\"", env!("CARGO_PKG_VERSION"), "\",\"source\":"]);
        push_json_string(out, self.source);
        push(out, &[",\"endpoint\":\"", signal.path(), "\",\"method\":\"POST\""]);
        push(out, &[",\"content-type\":\"application/x-protobuf\",\"content-encoding\":\"gzip\""]);
        self.push_spill_time_and_level(out);
        push(out, &[",\"payload\":\""]);
    }

    pub(super) fn push_compact_head(out: &mut Vec<u8>) {
        push(out, &["{\"", COMPACT_MARKER, "\":\""]);
    }

    /// Appends what stands in a compact line after its content, the newline included.
    pub(super) fn push_compact_end(&self, out: &mut Vec<u8>) {
        push(out, &["\""]);
        self.push_spill_time_and_level(out);
        push(out, &["}\n"]);
    }

    fn push_spill_time_and_level(&self, out: &mut Vec<u8>) {
        if self.spill {
            // A key, not only a bit of a compact line's content, because filter patterns select keys.
            push(out, &[",\"spill\":true"]);
        }
        if let Some(unix_nanos) = self.unix_nanos {
            push(out, &[",\"timestamp\":\"", &timestamp::rfc3339_millis(unix_nanos), "\""]);
        }
        if let Some(level) = self.level {
            push(out, &[",\"level\":"]);
            push_json_string(out, level);
        }
    }
}

/// The part after the payload, including the newline.
pub(super) const LINE_END: &[u8] = b"\",\"base64\":true}\n";

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push_json_string(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    // Serializing a string into memory cannot fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}
