//! What is known of the environment's invocations, and what follows from it: what is written, and whether `next` is held.

mod hold;
pub(crate) mod identity;
pub(crate) mod invocation_records;
mod recent_events;
pub(crate) mod roots;
pub(crate) mod state;
pub(crate) mod table;
