//! The invocations of the environment: their telemetry, and decisions about `next`. Only `invocation_records` does I/O.
//!
//! `table` has all that is known about each invocation, in `platform`'s table. `state` has the newest one alone: its decisions need a
//! deadline, and no subscription to Lambda's events.

pub(crate) mod identity;
pub(crate) mod invocation_records;
pub(crate) mod roots;
pub(crate) mod state;
pub(crate) mod table;
