//! OTLP spans of invocations, made from Lambda's own events: `invocations` collects the events of each invocation,
//! `invocation_span` and `phases` write its spans.

mod ids;
pub(crate) mod invocation;
pub(crate) mod invocation_span;
pub(crate) mod invocations;
mod phases;
