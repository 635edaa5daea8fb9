//! Shared parts of the compared programs and of the benches: the workload, and the drivers.

// `span_data` is compiled here for our SDK, and in `export-peer` for the peer's.
#[cfg(feature = "ours")]
extern crate self as lambda_otlp_bench;

#[cfg(feature = "forward-driver")]
pub mod forward;
#[cfg(feature = "harness")]
pub mod harness;
pub mod random;
#[cfg(feature = "ours")]
pub mod span_data;
mod workload;

#[cfg(feature = "ours")]
use {opentelemetry as api, opentelemetry_sdk as sdk};

pub use workload::{Attribute, AttributeValue, SERVICES, Service, Span, THINGS};
