//! Encodes the SDK's data as OTLP protobuf directly to bytes, without intermediate structs.
//!
//! Field numbers and types are those of opentelemetry-proto 1.x; tests compare the result with the crate's `transform`.

pub(super) mod encoded_resource;
pub(super) mod logs;
pub(super) mod metrics;
pub(super) mod traces;
mod values;

#[cfg(test)]
mod tests;
