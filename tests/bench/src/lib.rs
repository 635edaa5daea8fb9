//! Shared parts of the compared programs and of the benches: the workload, and the drivers.

#[cfg(feature = "forward-driver")]
pub mod forward;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(feature = "ours")]
mod workload;

#[cfg(feature = "ours")]
pub use workload::{Service, context_of, uuid};
