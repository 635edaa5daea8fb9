//! The invocations of the environment: their telemetry, and decisions about `next`. Only `invocation_records` does I/O.
//!
//! Three places have facts about invocations, because each is complete without the others:
//!
//! - `state` has the newest invocation alone. Its decisions need a deadline, and no subscription to Lambda's events.
//! - `known` has what the extension read about each invocation, also if it makes no spans. It remembers written ones, so that a
//!   late or repeated event makes no second span.
//! - `platform`'s table, which the forwarder uses too, has the events of each span that is not complete. An invocation enters it
//!   with its first event or root span.

pub(crate) mod identity;
pub(crate) mod invocation_records;
mod known;
pub(crate) mod roots;
pub(crate) mod state;
pub(crate) mod table;
