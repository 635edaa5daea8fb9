//! A local AWS Lambda and CloudWatch Logs with real processes, and an OTLP sink.
//!
//! Functions are real programs that speak the Runtime API. They get Lambda's environment variables, are frozen
//! (SIGSTOP) between invocations and killed at their timeout. Their output becomes events of a log stream, beside
//! Lambda's own START, END and REPORT. Subscription filters pass the events on to another function.
//!
//! Layers add external extensions: separate processes that register, get INVOKE and SHUTDOWN, and may subscribe to
//! telemetry. Telemetry is delivered in batches while the environment is not frozen, until it is acknowledged.
//! [`Lambda::telemetry`] lets a test interfere with it; [`Lambda::telemetry_undelivered`] lists the events that were
//! lost with an environment.
//!
//! AWS leaves some behaviour open. Here, the report of a failed invocation is generated before its extensions get
//! SHUTDOWN; a subscription survives the reset of its environment; failed deliveries are repeated after 20 ms,
//! doubled up to 1 s; lines are dropped when 16 MiB wait for a subscriber; log levels do not filter telemetry. A
//! managed instance gets one invocation at a time. Not simulated: the Logs API, `/opt`, memory limits, and a private
//! `/tmp`.
//!
//! It writes Lambda's events itself and shares no code with the crates that read them, so that no shared mistake
//! goes unnoticed.
//!
//! ```no_run
//! use std::time::Duration;
//! use lambda_otlp_simulator::{FunctionSpec, Lambda};
//!
//! # async fn story() -> Result<(), lambda_otlp_simulator::Error> {
//! let lambda = Lambda::start().await?;
//! lambda.create_function(FunctionSpec::new("forwarder", "target/debug/forwarder"))?;
//! let orders = FunctionSpec::new("orders", "target/debug/orders").timeout(Duration::from_secs(3));
//! lambda.create_function(orders.layer("target/layer"))?;
//! lambda.subscribe("/aws/lambda/orders", "forwarder", "")?;
//! let invocation = lambda.invoke("orders", b"{}").await?;
//! assert!(invocation.is_success());
//! lambda.flush_subscriptions().await;
//! # Ok(())
//! # }
//! ```

mod api;
pub mod binaries;
mod clock;
mod cloudwatch;
mod environment;
mod error;
mod function;
mod identifiers;
mod invocation;
mod lambda;
mod lock;
pub mod packages;
mod platform_events;
mod port;
mod process;
pub mod proxy;
pub mod queue;
mod recent;
pub mod secrets;
mod service;
pub mod sink;
mod telemetry;

pub use cloudwatch::{FilterPattern, InvalidPattern, LogEvent};
pub use environment::{EnvironmentState, ExtensionState};
pub use error::Error;
pub use function::{FunctionSpec, Initialization, LogFormat, LogLevel};
pub use invocation::{Invocation, InvocationResult, RunningInvocation};
pub use lambda::Lambda;
pub use port::free_port;
pub use process::process_state;
pub use service::{OnFailureRecord, RequestContext, ResponseContext};
pub use telemetry::{DeliveredTelemetry, TelemetryControl, UndeliveredTelemetry};
