//! Executions of Step Functions' state machines and of Lambda's durable functions.
//!
//! - `log_line` reads the log events of a state machine, for its log records. `logged` collects those of Express executions, which
//!   have no history, and makes the trace of an execution if it has all.
//! - `status` reads EventBridge's events about ended executions.
//! - `history` collects the pages of an execution's history and makes its trace. `event` reads the events of both services in one
//!   form; `machine` and `durable` make operations (`operation`) of them, and `trace` writes these as spans. `ids` has the ids.

mod durable;
mod event;
mod history;
pub(crate) mod ids;
pub(crate) mod log_line;
pub(crate) mod logged;
mod machine;
mod operation;
mod status;
#[cfg(test)]
mod tests;
mod trace;

pub use history::{History, NoPage};
pub use operation::Outcome as ExecutionOutcome;
pub use status::{EndedExecution, ExecutionKind, Home, NoEndedExecution};
