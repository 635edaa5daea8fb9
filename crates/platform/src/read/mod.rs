//! Reads what Lambda and the function's loggers write.
//!
//! `text` (Lambda's text lines) and `telemetry` (events of the Telemetry API, and JSON system lines) read what Lambda says
//! into the one event model of [`crate::event`]. `prefix` and `json_line` read the function's own lines: level, ids and
//! attributes of their log records; `runtime_text`
//! and `out_of_memory` know what runtimes print by themselves. The other files are what these four share.

pub(crate) mod fields;
pub(crate) mod ids;
pub(crate) mod json_line;
pub(crate) mod out_of_memory;
pub(crate) mod prefix;
pub(crate) mod runtime_text;
pub(crate) mod severity;
pub(crate) mod telemetry;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod whole_line;
