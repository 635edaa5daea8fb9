//! Encodes what the SDK holds as OTLP protobuf, straight into bytes: no second set of structs.
//!
//! Field numbers and types are those of opentelemetry-proto 1.x; the tests compare the result with the `transform` of the
//! `opentelemetry-proto` crate.

pub(super) mod encoded_resource;
pub(super) mod logs;
pub(super) mod metrics;
pub(super) mod traces;
mod values;

#[cfg(test)]
mod tests;
