//! Holds spans, log records and measurements until the end of the invocation, with limits and counted losses.

mod buffer;
mod early_writes;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod spans;
