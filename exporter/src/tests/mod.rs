//! Whole invocations, driven in process: the traced handler is called as the runtime calls it, and the lines are read
//! with the reader of `wire`.

mod driver;
mod ends;
mod events;
mod init;
mod layer;
mod messages;
mod modes;
mod panics;
mod parents;
mod signals;
mod spans_of_tracing;
mod standard_variables;
mod streaming;
mod triggers;
