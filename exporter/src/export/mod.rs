//! From what the SDK holds to OTLP lines on the output, bounded in time, with what is lost counted.

pub(crate) mod exporters;
pub(crate) mod line;
pub(crate) mod line_builder;
pub(crate) mod loss_counts;
mod otlp;
pub(crate) mod write_timeout;
