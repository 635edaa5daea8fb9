//! The Lambda extension: functions in any language send OTLP to it, and it writes OTLP lines or sends it to a backend.
//!
//! `receiver` accepts OTLP and X-Ray's documents on loopback, and events of the Telemetry API. It passes them to the `sink`: OTLP
//! lines on stdout, which Lambda ships to CloudWatch Logs, or a buffer for a backend (direct mode). A request is acknowledged
//! when its lines are written or when it is in the buffer, so no request waits for a network. One loop (`lifecycle`) owns the
//! state; its decisions (`invocations`) have no I/O.

mod clock;
mod config;
mod counts;
mod event;
mod health_check;
mod http;
mod invocations;
mod json;
mod lambda;
mod lifecycle;
mod log;
mod otlp_fields;
mod own_metrics;
mod panics;
mod receiver;
mod service_name;
mod sink;
mod tasks;
#[cfg(test)]
mod test_log;
#[cfg(test)]
mod test_pipe;
#[cfg(test)]
mod test_spans;
mod tmp_file;

pub use config::{Config, TABLE, WRAPPER};
pub use counts::{Count, Counts};
pub use health_check::health_check;
pub use lambda::extensions_api::ApiError;
pub use lifecycle::{Fatal, run};
pub use log::log;
pub use panics::report_panics;
#[doc(hidden)]
pub use receiver::body::read_body;
#[doc(hidden)]
pub use receiver::xray::read_datagram;

use settings::Source;

/// Reads the settings. If that panics, the extension uses its defaults and the variables that Lambda itself sets.
pub fn read_config(source: &dyn Source) -> Config {
    tracing::subscriber::with_default(log::plain(), || {
        panics::catch(|| Config::from_source(source)).unwrap_or_else(|| Config::of_lambda(source))
    })
}
