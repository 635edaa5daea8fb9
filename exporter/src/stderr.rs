//! The exporter's own log: single lines on stderr, which Lambda ships like any log line.

use std::io::Write as _;

/// Writes one line. That stderr may be closed is no reason to disturb the function.
pub(crate) fn warn(text: &str) {
    let line = format!("lambda-otlp-exporter: {}\n", text.replace('\n', " "));
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}
