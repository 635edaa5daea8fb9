//! Reads the output of Lambda and of functions' loggers.
//!
//! `text` (Lambda's text lines) and `telemetry` (Telemetry API events, JSON system lines) parse Lambda's own events into the
//! model of [`crate::event`]. `prefix` and `json_line` read the function's lines: level, ids and attributes of their log records.
//! `runtime_text` recognizes messages of runtimes. The other files are shared helpers.

pub(crate) mod fields;
pub(crate) mod ids;
pub(crate) mod json_line;
pub(crate) mod prefix;
pub(crate) mod runtime_text;
pub(crate) mod severity;
pub(crate) mod telemetry;
pub(crate) mod text;
pub(crate) mod whole_line;
