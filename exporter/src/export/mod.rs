//! Converts the SDK's data to OTLP lines on the output, within bounded time and with counted losses.

pub(crate) mod exporters;
pub(crate) mod gathering;
pub(crate) mod line;
pub(crate) mod line_builder;
pub(crate) mod loss_counts;
mod otlp;
pub(crate) mod write_timeout;
