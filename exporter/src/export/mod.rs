//! Converts the SDK's data to OTLP lines on the output, within bounded time and with counted losses.

pub(crate) mod exporters;
pub(crate) mod line;
pub(crate) mod losses;
mod otlp;
pub(crate) mod write_timeout;
