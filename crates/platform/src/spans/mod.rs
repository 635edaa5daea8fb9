//! OTLP spans of invocations, made of Lambda's own events.

mod ids;
pub(crate) mod invocation;
pub(crate) mod invocation_span;
pub(crate) mod invocations;
mod phases;
mod status;
