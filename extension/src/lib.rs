//! The Lambda extension: functions in any language send OTLP to it, and it writes OTLP lines.
//!
//! It registers with Lambda, listens for OTLP/HTTP on loopback and for the Telemetry API, and writes to stdout, which Lambda
//! ships to CloudWatch Logs. A request is acknowledged when its lines are written, or when it is in the buffer of the direct output
//! (`direct`), and no request waits for a network. One loop owns the state (`lifecycle`); what it knows and decides has no I/O
//! (`invocations`).

#[cfg(feature = "direct")]
mod buffer;
mod clock;
mod config;
mod counts;
#[cfg(feature = "direct")]
mod direct;
mod event;
mod health_check;
mod http;
mod invocations;
mod json;
mod lambda;
mod lifecycle;
mod log;
mod otlp_fields;
mod output;
mod own_metrics;
mod receiver;
mod takeover;
mod tasks;
#[cfg(test)]
mod test_spans;
mod tmp_file;
#[cfg(not(feature = "direct"))]
mod without_buffer;
#[cfg(not(feature = "direct"))]
mod without_direct;

#[cfg(not(feature = "direct"))]
use {without_buffer as buffer, without_direct as direct};

pub use config::{Config, TABLE, WRAPPER};
pub use counts::{Count, Counts};
pub use health_check::health_check;
pub use lambda::extensions_api::ApiError;
pub use lifecycle::{Fatal, run};
pub use log::init_log;
pub use takeover::{ARGUMENT, Handover, take_over_panics};
