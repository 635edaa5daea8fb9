//! The texts that runtimes print when a program fails: panics, uncaught exceptions, and stack traces. `exception` reads one,
//! `report_state` joins the log events of one, and both recognize its `lines`.
//!
//! Source: the runtimes of Go, Java, .NET, Node, PHP, Python, Ruby and Rust.

mod exception;
mod lines;
mod report_state;

pub(crate) use exception::{Exception, ExceptionRef, begins_with_exception, exception};
pub(crate) use lines::{NamedException, is_frame, is_type, names_exception};
pub use report_state::ReportState;
