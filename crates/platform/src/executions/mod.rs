//! Executions of Step Functions' state machines and of Lambda's durable functions.
//!
//! `ids` has the ids of their spans, `log_line` reads the log events of a state machine.

pub(crate) mod ids;
pub(crate) mod log_line;
