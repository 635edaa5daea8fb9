//! OTLP metrics: those of Lambda's own events, and those of lines in CloudWatch's embedded metric format.

pub(crate) mod aggregator;
pub(crate) mod emf;
mod error_type;
mod instrument;
pub(crate) mod open_invocations;
pub(crate) mod points;
