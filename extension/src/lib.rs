//! The Lambda extension: functions in any language send OTLP to it, and it writes OTLP lines or sends it to a backend.
//!
//! `receiver` accepts OTLP and X-Ray's documents on loopback, and events of the Telemetry API. It passes them to the `sink`: OTLP
//! lines on stdout, which Lambda ships to CloudWatch Logs, or a buffer for a backend (direct mode). A request is acknowledged
//! when its lines are written or when it is in the buffer, so no request waits for a network. One loop (`event_loop`) owns the
//! state; its decisions (`invocations`) have no I/O.
//!
//! # Modules
//!
//! - `runtime` starts everything, opens the ports, registers, and subscribes to the Telemetry API with its types and buffering
//!   (`subscription`). `api` makes the calls of Lambda's APIs.
//! - `event_loop` owns the state. It calls `next` when state and sink allow it, and takes the receivers' events (`event`).
//!   `tasks` runs work in the background, `termination` handles SIGTERM.
//! - `policy` decides when the extension calls `next`, flushes and spills: pure functions. The facts for flushes come from
//!   `sink/backend`.
//! - `config` reads all settings and bounds them by the function's memory. `variables` has their table, `file` the settings file
//!   and djv3's variables, `output` the choice between stdout and direct mode.
//! - `http` is the server. `service` reads a request and writes the answer, `connections` bounds the connections.
//! - `receiver` has what is received: `otlp` (the paths of signals, and the limit of a request), `xray`, and `telemetry`
//!   (Lambda's Telemetry API). `body` inflates, `grpc` has the form of gRPC. `response` knows the content types (`Encoding`), and
//!   has the answers and refusals.
//! - `recent` recognizes repeated deliveries. `service_name` names requests without a service.
//! - `invocations` has the open invocations: `table` puts what is received into platform's table, and holds ends back until their
//!   root span comes; `state` has the newest one, which the decisions about `next` need. `roots` finds their spans in received requests, `invocation_records`
//!   in the files of our exporter. `identity` is the resource.
//! - `sink` takes all telemetry: receivers hold its `Intake`, the loop its `Sink`. Its own file chooses between backend and
//!   stdout.
//! - `sink/lines` is the queue of OTLP lines, and refuses requests while stdout is blocked. `thread` writes; `backlog` has
//!   requests whose senders don't wait.
//! - `sink/backend` is direct mode. Its own file gathers the facts for `policy`, carries out the decision (`run_due_tasks`), and
//!   spills what the buffer doesn't take. It also decides what SHUTDOWN sends.
//! - In it, `buffer` keeps acknowledged requests, `flush` and `uploader` send them, `health` decides when to try again, `freeze`
//!   detects freezes, after which it drops connections. `printed_lines` converts the function's lines; with the output `json` it
//!   forwards every event of Lambda, also START. `health_check` calls backend's `reach`.
//! - `counts` has the extension's counters. `own_metrics` makes metrics of them, `log` writes its own log. `own_file` opens files
//!   in `/tmp`, `descriptors` keeps a file descriptor for calls of Lambda.

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
