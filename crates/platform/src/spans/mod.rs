//! OTLP spans of invocations, made from Lambda's own events: `open_span` keeps the events of an invocation,
//! `invocation_span` and `phases` write its spans.

mod ids;
pub(crate) mod invocation_span;
pub(crate) mod open_span;
mod phases;
