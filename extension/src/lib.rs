//! The Lambda extension: functions in any language send OTLP to it, and it writes OTLP lines.
//!
//! It registers with Lambda, listens for OTLP/HTTP on loopback and for the Telemetry API, and writes to stdout, which Lambda
//! ships to CloudWatch Logs. What it has acknowledged is written; nothing waits for a network. One loop owns the state
//! ([`lifecycle`]), what it knows and decides is pure (`state`, `table`, `hold`).

mod client;
mod clock;
pub mod config;
mod endpoint;
mod extensions_api;
mod hold;
mod http;
mod identity;
mod json;
pub mod lifecycle;
pub mod log;
mod output;
mod receiver;
mod records;
mod roots;
mod state;
mod supervise;
mod table;
mod telemetry_api;
#[cfg(test)]
mod tests;
mod variables;
mod vitals;

pub use extensions_api::ApiError;
pub use hold::Mode as HoldMode;
pub use supervise::quiet_panics;
pub use vitals::{Count, Vitals};
