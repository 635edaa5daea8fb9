//! The Lambda extension: functions in any language send OTLP to it, and it writes OTLP lines or sends it to a backend.
//!
//! `receiver` accepts OTLP and X-Ray's documents on loopback, and events of the Telemetry API. It passes them to the `sink`: OTLP
//! lines on stdout, which Lambda ships to CloudWatch Logs, or a buffer for a backend (direct mode). A request is acknowledged
//! when its lines are written or when it is in the buffer, so no request waits for a network. One loop (`event_loop`) owns the
//! state; its decisions (`invocations`) have no I/O.

mod api;
mod clock;
mod config;
mod counts;
mod descriptors;
mod event;
mod event_loop;
mod http;
mod invocations;
mod log;
mod own_file;
mod own_metrics;
mod policy;
mod receiver;
mod recent;
mod runtime;
mod service_name;
mod sink;
mod tasks;
mod termination;
#[cfg(test)]
mod test_spans;

pub use api::ApiError;
pub use config::{Config, TABLE, WRAPPER};
pub use counts::{Count, Counts};
pub use log::log;
#[doc(hidden)]
pub use receiver::body::read_body;
#[doc(hidden)]
pub use receiver::response::Refusal;
pub use receiver::xray::{MalformedDatagram, read_datagram};
pub use runtime::{Fatal, run};
pub use tasks::report_panics;

use settings::{Check, Source};

/// Reads the settings. If that panics, the extension uses its defaults and the variables that Lambda itself sets.
pub fn read_config(source: &dyn Source) -> Config {
    tracing::subscriber::with_default(log::plain(), || {
        tasks::catch(|| Config::from_source(source)).unwrap_or_else(|| Config::of_lambda(source))
    })
}

/// Checks the settings and, in direct mode, the backend. It is meant to run with a function's variables before the deployment.
pub async fn health_check(config: &Config) -> Vec<Check> {
    let warnings =
        config.warnings.iter().map(|warning| Check::warning("settings", warning.to_string()));
    let mistakes =
        config.mistakes.iter().map(|mistake| Check::failed("settings", mistake.to_string()));
    let mut checks: Vec<Check> = warnings.chain(mistakes).collect();
    if config.mistakes.is_empty() {
        checks.push(Check::ok("settings", "all variables are valid"));
    }
    checks.extend(sink::health_check(config).await);
    checks
}
