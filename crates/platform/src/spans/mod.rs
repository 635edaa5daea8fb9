//! OTLP spans of invocations, made of Lambda's own events: `invocations` collects the events of each invocation until it is
//! over, `invocation_span` and `phases` write its spans.

mod ids;
pub(crate) mod invocation;
pub(crate) mod invocation_span;
pub(crate) mod invocations;
mod phases;
mod status;
