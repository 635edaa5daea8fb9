//! A local AWS Lambda with real processes, CloudWatch Logs and queues.
//!
//! Functions are real programs that speak the Runtime API. They get Lambda's environment variables, are frozen
//! (SIGSTOP) between invocations and killed at their timeout. Their output becomes events of a log stream, which also has
//! Lambda's own START, END and REPORT. Subscription filters pass the events on to another function.
//!
//! Layers add external extensions: separate processes that register, get INVOKE and SHUTDOWN, and may subscribe to
//! telemetry. Telemetry is delivered in batches while the environment is not frozen, until it is acknowledged.
//!
//! [`fidelity`] lists its deviations from AWS, and the behaviour of AWS that is not published.
//!
//! It writes Lambda's events itself and shares no code with the crates that read them, so that no shared mistake
//! goes unnoticed.
//!
//! # Modules
//!
//! They import each other in one direction, from `lambda`, the handle, down.
//!
//! - `service` chooses an environment for an invocation. `invocation` has the results, `function` the settings and time limits.
//! - `environment`: an environment's life: init, invocations, freeze, and the reset after a failure. `extensions` are its
//!   extensions, `instance` is a managed instance, `failure` says what a failure means: its status, the answer, and the reason of
//!   SHUTDOWN.
//! - `environment/processes` has the processes: `init`, `calls` (which are allowed, their answers, and the wait for the next one
//!   until the deadline), `run` (one invocation, and the freeze after it) and `ending`.
//! - `api` reads the processes' calls. `process`: processes, `captured_output`: their output.
//! - `platform_events`: Lambda's own events, as lines and for the Telemetry API. `telemetry`: its subscriptions (`settings`) and
//!   deliveries.
//! - `cloudwatch`: log groups and their filters, without CloudWatch's API: `lambda` subscribes. `subscription_filter` makes the
//!   events of subscriptions. `queue`: SQS.
//! - `packages` and `binaries` install and build functions.
//! - `identifiers` makes request ids and X-Ray ids, `http_server` is the server of all APIs.
//! - `fidelity`: deviations from AWS, and what we chose where AWS has published nothing.

mod api;
mod api_client;
pub mod binaries;
mod bounded_history;
mod captured_output;
mod clock;
mod cloudwatch;
mod environment;
mod failure;
pub mod fidelity;
mod function;
mod http_server;
mod identifiers;
mod invocation;
mod lambda;
mod log_event;
pub mod packages;
mod platform_events;
mod process;
pub mod queue;
mod service;
mod subscription_filter;
mod telemetry;

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

pub use api_client::{ApiClient, ApiResponse};
pub use environment::{EnvironmentState, ExtensionState};
pub use function::{FunctionSpec, Initialization, LogFormat};
pub use http_server::HttpServer;
pub use invocation::{ClientContext, Invocation, InvocationResult, RunningInvocation};
pub use lambda::Lambda;
pub use log_event::LogEvent;
pub use process::process_state;
pub use service::OnFailureRecord;

/// The reason for which the local Lambda refused a request. A function that fails is no error but an [`InvocationResult`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot listen on the loopback interface")]
    Listen(#[source] io::Error),
    #[error("function {0} does not exist; create it first")]
    UnknownFunction(String),
    #[error("function {0} exists already")]
    FunctionExists(String),
    #[error("cannot use the bootstrap {}", path.display())]
    Bootstrap { path: PathBuf, source: io::Error },
    #[error("environment variable {0} is reserved by Lambda; remove it from the function")]
    ReservedVariable(String),
    #[error("payload has {bytes} bytes, the most is {limit_bytes}")]
    PayloadTooLarge { bytes: usize, limit_bytes: usize },
    #[error("payload has more than {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: usize },
    #[error("the body of the request broke off")]
    BodyBrokenOff,
    #[error("payload is not JSON")]
    PayloadNotJson(#[source] serde_json::Error),
    #[error("client context is not base64")]
    ClientContextNotBase64,
    #[error("client context is not a JSON object")]
    ClientContextNotJson(#[source] serde_json::Error),
    #[error("too many asynchronous invocations wait; flush before you add more")]
    QueueFull,
    #[error("the local Lambda is shutting down")]
    ShuttingDown,
}

/// Locks a mutex, also after a panic: a panic in one test thread must not hide the results of the others.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a port of loopback without a listener, below those that the kernel gives to clients: until a program listens there, no
/// connection takes it.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = std::process::id() * 64 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(offset % u32::from(COUNT)).map_or(FIRST, |offset| FIRST + offset);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
