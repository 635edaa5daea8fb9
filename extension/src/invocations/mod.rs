//! The invocations of the environment: their telemetry, and decisions about `next`. No I/O.

pub(crate) mod identity;
pub(crate) mod invocation_records;
pub(crate) mod roots;
pub(crate) mod state;
pub(crate) mod table;
