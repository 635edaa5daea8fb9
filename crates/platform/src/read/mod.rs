//! Reads what Lambda and a function's loggers write: Lambda's text lines, its Telemetry API events and JSON system lines
//! become the one event model ([`crate::event`]), a function's lines give level, ids and attributes of their log record.

pub(crate) mod fields;
pub(crate) mod ids;
pub(crate) mod json_line;
pub(crate) mod prefix;
pub(crate) mod severity;
pub(crate) mod telemetry;
pub(crate) mod text;
pub(crate) mod time;
