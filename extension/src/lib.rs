//! The Lambda extension: functions in any language send OTLP to it, and it writes OTLP lines.
//!
//! It registers with Lambda, listens for OTLP/HTTP on loopback and for the Telemetry API, and writes to stdout, which Lambda
//! ships to CloudWatch Logs. A request is acknowledged when its lines are written, and no request waits for a network. One loop
//! owns the state (`lifecycle`); what it knows and decides has no I/O (`invocations`).

mod clock;
mod config;
mod counts;
mod event;
mod http;
mod invocations;
mod json;
mod lambda;
mod lifecycle;
mod log;
mod otlp_fields;
mod output;
mod receiver;
mod supervise;
#[cfg(test)]
mod test_spans;

pub use config::{Config, TABLE, WRAPPER};
pub use counts::{Count, Counts};
pub use lambda::extensions_api::ApiError;
pub use lifecycle::{Fatal, run};
pub use log::init_log;
pub use supervise::quiet_panics;
