//! The OTLP line: OTLP requests as single JSON lines on stdout, written and read.
//!
//! Everything that the function writes and the forwarder reads is agreed on here: the line
//! ([`encode`](LineEncoder), [`read`](read_line)), the three signals behind one path
//! ([`SignalKind`], [`Signal`]), ids, and the names of resource attributes. The contract in words
//! is `docs/line-format.md`. This crate does no I/O, reads no variable and no clock, and panics
//! on no input.
//!
//! Features: `encode` is what a function carries, `decode` what a reader of lines carries.

#![warn(missing_docs)]

#[cfg(feature = "encode")]
mod encode;
pub mod gzip;
pub mod ids;
pub mod invocation_record;
#[cfg(feature = "decode")]
mod line;
mod merge;
#[cfg(feature = "decode")]
mod payload;
pub mod proto;
mod request;
pub mod resource;
mod schema;
mod signal;
pub mod timestamp;
mod truncate;

#[cfg(feature = "encode")]
pub use encode::{Envelope, LineEncoder, LineLimits, Written};
#[cfg(feature = "decode")]
pub use line::{DecodedLine, LineError, LineReading, UndecodableLine, read_line, without_headers};
pub use merge::merge;
#[cfg(feature = "decode")]
pub use payload::PayloadError;
pub use request::{Limits, Malformed, Request};
#[cfg(feature = "decode")]
pub use signal::{Logs, Metrics, Signal, Traces};
pub use signal::{Rejected, SignalKind, rejected};

/// The key that marks a JSON object as an OTLP line.
pub const MARKER: &str = "__otel_otlp_stdout";
