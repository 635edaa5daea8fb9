//! Encodes what the SDK holds as OTLP protobuf, straight into bytes: no second set of structs.
//!
//! Field numbers and types are those of opentelemetry-proto 1.x; the tests compare the result with the `transform` of the
//! `opentelemetry-proto` crate.

mod common;
mod logs;
mod metrics;
mod traces;

pub(crate) use common::EncodedResource;
pub(crate) use logs::logs;
pub(crate) use metrics::metrics;
pub(crate) use traces::traces;

#[cfg(test)]
mod tests;
