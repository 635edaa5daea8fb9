//! OTLP metrics of Lambda's own events, and of lines in CloudWatch's embedded metric format.

pub(crate) mod aggregator;
pub(crate) mod emf;
mod instrument;
pub(crate) mod points;
